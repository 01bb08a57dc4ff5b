"""The names that a benchmark takes on its command line."""

import argparse


def one_of(known):
    """argparse's type of an argument that must be one of them."""

    def check(name):
        if name not in known:
            raise argparse.ArgumentTypeError(f"there is no {name!r}, but there are: {', '.join(known)}")
        return name

    return check
