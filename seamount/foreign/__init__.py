"""The one door for files that somebody else may have written: every kind is read here, under one set of rules.

A file is a regular one and no larger than a limit; what it unpacks to is counted before memory is taken; nothing is
followed out of it, no code in it is run; whatever a library raises at damage becomes an ``InputError`` with the
file's name. A test holds that nobody opens such files elsewhere.
"""
