"""Maps the four root folders into the package; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

FOLDERS = ("models", "distill", "compile", "hardware_targets")

# the links in seamount/ show the same four folders a second time
links = [f"seamount.{folder}{rest}" for folder in FOLDERS for rest in ("", ".*")]
packages = find_packages(include=["seamount", "seamount.*"], exclude=links)
for folder in FOLDERS:
    packages += [f"seamount.{found}" for found in find_packages(include=[folder, f"{folder}.*"])]

setup(
    packages=packages,
    package_dir={"seamount": "seamount"} | {f"seamount.{folder}": folder for folder in FOLDERS},
)
