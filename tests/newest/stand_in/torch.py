"""What stands for PyTorch where there is none: the tests' files import it; answers come from a recording."""


class Tensor:
    """No value is one."""


def set_num_threads(count: int) -> None:
    """There are no threads."""


class nn:
    """No layer is in it."""
