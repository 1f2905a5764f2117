"""Lists the packages: jaxnn/ with its subpackages, and compat/ beside it, which imports as jaxnn.compat."""

from setuptools import find_packages, setup

setup(
    packages=[
        "jaxnn",
        *(f"jaxnn.{name}" for name in find_packages("jaxnn")),
        "jaxnn.compat",
        *(f"jaxnn.compat.{name}" for name in find_packages("compat")),
    ]
)
