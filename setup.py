"""Lists the packages: jaxnn/ with its subpackages. jaxnn/compat is a link to compat/ beside it."""

from setuptools import find_packages, setup

setup(packages=["jaxnn", *(f"jaxnn.{name}" for name in find_packages("jaxnn"))])
