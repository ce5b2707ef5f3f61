"""NIR graphs and files: read as a Network, or refused with every reason."""
