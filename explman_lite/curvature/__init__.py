r"""How the level sets of a network bend: the geometry that makes explanations manipulable.

The level set of a point holds all inputs with the same logit, :math:`S = \{x : g(x) = c\}`. Its
unit normal is the normalised gradient, :math:`n = \nabla g / \lVert \nabla g \rVert`, which is
the explanation up to a scale. Along S the output stays the same and the normal turns, as fast as
the second fundamental form says,

.. math:: L = -\frac{P\, H\, P}{\lVert \nabla g \rVert}, \qquad P = 1 - n n^\top,

where H is the Hessian of g. The eigenvalues of L on the tangent space are the principal curvatures,
in units of one over the distance between inputs. A sphere of radius r whose normal points outwards
has :math:`-1/r`.

A ReLU network has H = 0 wherever it has a second derivative at all, so its curvature is zero here:
its bends are in the kinks. Pass a network from `explman_lite.smoothed`.
"""

from explman_lite.curvature.hessian import hessian_vector_product, principal_curvatures
from explman_lite.curvature.level_sets import LevelSetPath, level_set_path
from explman_lite.curvature.theorem1 import hessian_bound, theorem1_report

__all__ = [
    "LevelSetPath",
    "hessian_bound",
    "hessian_vector_product",
    "level_set_path",
    "principal_curvatures",
    "theorem1_report",
]
