"""Diabetic retinopathy in five grades, 0 to 4, as the sets of fundus photographs number them.

The sets name the international clinical scale (Messidor-2: Davis); both have these steps.
"""

from octomed_jax.questions.templates import Classes

GRADES = Classes(
    picture="fundus photograph",
    asked="grade of diabetic retinopathy",
    labels=(
        "no diabetic retinopathy",
        "mild nonproliferative diabetic retinopathy",
        "moderate nonproliferative diabetic retinopathy",
        "severe nonproliferative diabetic retinopathy",
        "proliferative diabetic retinopathy",
    ),
)
