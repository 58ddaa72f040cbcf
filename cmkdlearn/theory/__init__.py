"""What can be said before training, and after it, without an experiment."""

from cmkdlearn.theory._gaussian import GaussianModalities
from cmkdlearn.theory._ucmkd import ucmkd_bound, ucmkd_finite_bound

__all__ = ["GaussianModalities", "ucmkd_bound", "ucmkd_finite_bound"]
