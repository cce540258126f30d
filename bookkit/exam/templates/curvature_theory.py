"""Questions about chapter 4 whose numbers are drawn."""

from math import asin, degrees

from bookkit.exam.template import SIGNED, Question, steps, template
from bookkit.exam.written import fixed, linear, plain, significant, vector


@template(
    "curvature-in-words-and-then-in-symbols",
    replaces="curvature-sphere",
    radius=steps(8, 67.5, 0.5),
    length=steps(5, 64.9, 0.1),
)
def turn_on_a_sphere(radius: float, length: float) -> Question | None:
    """Walk along a sphere."""
    if not 0.25 < length / radius < 1.9:
        return None
    return Question(
        f"A level set is a sphere of radius {radius}. A path of length {length} goes "
        "straight ahead on it. By how many degrees does the normal turn, to one decimal place?",
        (
            fixed(degrees(length / radius), 1),
            f"By the curvature 1/{radius} times the length, which is in radians.",
        ),
        [
            (fixed(length / radius, 1), "That is in radians."),
            (
                fixed(degrees(2 * asin(length / radius / 2)), 1),
                "This takes the length for that of the straight line through the sphere.",
            ),
            (fixed(degrees(length / radius**2), 1), "A principal curvature is 1/r, and not 1/r²."),
        ],
    )


@template(
    "theorem-1",
    hessian=steps(0.1, 8, 0.1),
    slope=steps(1.5, 11.4, 0.1),
    length=steps(0.11, 0.5, 0.01),
)
def bound_of_theorem_1(hessian: float, slope: float, length: float) -> Question | None:
    """Multiply the largest curvature by the length of a path."""
    if hessian * length / slope > 2:  # unit vectors are never farther apart
        return None
    return Question(
        f"Everywhere on a level set the gradient has length {slope}, and the Hessian, "
        f"restricted to its tangents, no eigenvalue beyond {hessian} in absolute value. Two "
        f"points have the geodesic distance {length}. By the first inequality of Theorem 1, "
        "how far apart are their unit normals at most, to three significant digits?",
        (
            significant(hessian * length / slope),
            f"The largest curvature is {hessian}/{slope}, times the distance.",
        ),
        [
            (
                significant(hessian * length),
                "So far the gradient may turn away. Its direction does by that over its length.",
            ),
            (
                significant(hessian * length**2 / (2 * slope)),
                "That is how far the surface may leave its tangent plane.",
            ),
            (significant(slope * length / hessian), "The curvature is upside down."),
        ],
    )


@template(
    "curvature-in-words-and-then-in-symbols",
    minutes=4,
    a=steps(2, 41),
    b=steps(2, 41),
    x=steps(0.1, 20, 0.1),
)
def curvature_of_an_ellipse(a: float, b: float, x: float) -> Question:
    """Divide the tangential second derivative by the length of the gradient."""
    return Question(
        f"What is the curvature of the level line of g(x, y) = {a}x² + {b}y² at the "
        f"point ({x}, 0), in absolute value, to three significant digits?",
        (
            significant(b / (a * x)),
            f"The tangent points along y, so it is 2 · {b} over the gradient's length "
            f"2 · {a} · {x}.",
        ),
        [
            (significant(2 * b), "That is the second derivative, not divided by the gradient."),
            (
                significant(1 / x),
                "This differentiates twice along the gradient; it would be right for a circle "
                "around the origin.",
            ),
            (significant(a / (b * x)), "This takes each coefficient for the other."),
        ],
    )


@template(
    "second-derivatives-without-a-hessian",
    a=steps(2, 31),
    b=SIGNED,
    c=steps(2, 31),
    v=steps(1, 50),
    w=SIGNED,
)
def hessian_times_vector(a: float, b: float, c: float, v: float, w: float) -> Question:
    """Multiply the Hessian of a quadratic form by a vector."""
    form = f"{a}x² {'+' if b > 0 else '−'} {plain(abs(b))}xy + {c}y²"
    return Question(
        f"Let g(x, y) = {form}, H its Hessian, and v = {vector(v, w)}. What is Hv?",
        (
            vector(2 * a * v + b * w, b * v + 2 * c * w),
            f"The gradient of vᵀ∇g, with ∇g = ({linear(x=2 * a, y=b)}, {linear(x=b, y=2 * c)}).",
        ),
        [
            (
                vector(a * v + b * w, b * v + c * w),
                "The second derivative of x² is 2, and not 1.",
            ),
            (vector(2 * a * v, 2 * c * w), "This takes the diagonal of H only."),
            (
                vector((2 * a + b) * v, (b + 2 * c) * w),
                "This adds up each row of H first, and multiplies afterwards.",
            ),
        ],
    )
