"""A teacher of the student's own kind."""

from cmkdlearn._bridge.routing import is_net_param
from cmkdlearn.teachers import UnimodalTeacher


def peer(student):
    """Return an unfitted teacher with the student's modality, network and training, but no seed."""
    own = UnimodalTeacher._get_param_names()
    params = {name: value for name, value in student.get_params(deep=False).items()
              if name in own or is_net_param(name)}
    return UnimodalTeacher(**{**params, "warm_start": False, "random_state": None})
