"""The kinds of findings: a title for each, and what to do about it."""

from __future__ import annotations

# kind -> (title, remedy)
KINDS: dict[str, tuple[str, str]] = {
    "missing-file": ("Media file is missing", "put the file back, or import again without its labels"),
    "not-fetched": ("Picture is an address that was not fetched", "import again with --fetch"),
    "empty-file": ("Media file has no bytes", "replace the file, or import again without it"),
    "truncated-file": ("Picture is cut short", "copy the file again from where it came"),
    "unreadable-file": ("Media file does not decode", "replace the file, or import again without it"),
    "missing-frame": (
        "Labelled frame is not in the video",
        "check that labels and video belong together, and where their frame numbers start",
    ),
    "map-fault": (
        "Label map is missing, damaged or does not fit",
        "make the map again, or import without it",
    ),
    "size-differs": (
        "Declared size is not the picture's",
        "labels may belong to another version of the picture: check them, then import again",
    ),
    "exif-rotated": (
        "Picture is stored turned (EXIF orientation)",
        "nothing, if the labels were drawn on the upright picture; other tools may ignore the turn",
    ),
    "mixed-sizes": ("Pictures have several sizes", "nothing; know it when choosing the input size"),
    "box-outside": ("Mark leaves the picture", "import again with --boxes clip, or correct the label"),
    "box-empty": ("Mark has no area", "delete or redraw it"),
    "box-inverted": ("Box corners are the wrong way round", "import again, which puts them in order"),
    "box-doubled": ("Object is marked twice", "delete one of the two"),
    "box-nearly-doubled": ("Object is probably marked twice", "look; delete one of the two"),
    "box-two-classes": ("One place has marks of two classes", "look; keep the right one"),
    "box-sliver": ("Mark is only a sliver", "delete it, or redraw what it was meant for"),
    "polygon-crosses-itself": ("Polygon crosses itself", "redraw it"),
    "not-finite": ("Mark has a coordinate that is no number", "delete or redraw it"),
    "point-outside": ("Visible point lies outside the picture", "correct it, or mark it hidden"),
    "point-at-origin": (
        "Visible point at (0, 0)",
        "this is how tools write 'not there': mark it hidden, or correct it",
    ),
    "never-visible": (
        "No point of a sequence is marked visible",
        "if the object is in sight, import again with --visible all",
    ),
    "jump": ("Track jumps farther than an object can", "look at the frames on both sides"),
    "class-undeclared": ("Label has a class that is not declared", "declare the class, or correct the label"),
    "class-unused": ("Class is declared but never used", "leave it out, or label examples of it"),
    "class-names-alike": ("Class names differ only in spelling", "import again with --rename OLD=NEW"),
    "class-odd-name": ("Class name is a number among words", "probably left over: rename or leave it out"),
    "class-rare": ("Class has very few examples", "label more, leave it out, or expect nothing of it"),
    "class-imbalance": (
        "Classes are uneven",
        "weigh the loss (class_weights: effective-number) or sample (sampling: balanced)",
    ),
    "class-not-in-part": ("Class is absent from a part of the split", "divide again, or label more of it"),
    "empty-picture": ("Pictures without any label", "fine as background; else label them"),
    "several-labels": ("Picture has several labels of the whole", "fine for multi-label; else correct it"),
    "groups-of-pictures": (
        "Pictures come in groups",
        "a split by group keeps them together; count groups, not pictures, when judging how much there is",
    ),
    "exact-copies": ("Pictures are byte-for-byte copies", "keep one of each"),
    "near-copies": ("Pictures are near copies", "look; keep one, or keep them in one part"),
    "mirrored-copies": ("Pictures are mirrored copies", "keep them in one part"),
    "exact-copies-across-split": (
        "Byte-for-byte copies on two sides of the split",
        "divide again with: sightline split",
    ),
    "near-copies-across-split": (
        "Near copies on two sides of the split",
        "divide again with: sightline split",
    ),
    "group-across-split": ("One group on two sides of the split", "divide again with: sightline split"),
    "part-empty": ("Part of the split is empty", "divide again with: sightline split"),
    "not-in-split": ("Records are in no part of the split", "divide again with: sightline split"),
    "labels-disagree": ("Copies of one picture are labelled differently", "look; correct one of them"),
    "import-dropped": ("Dropped at import", "correct the labels at these places and import again"),
    "import-cut": (
        "Most of a mark was cut away at import",
        "look whether it belongs to another picture; correct the labels and import again",
    ),
    "import-fixed": ("Repaired at import", "correct the labels at these places, if the repair is not right"),
}


def title(kind: str) -> str:
    """What a kind is, in words."""
    return KINDS[kind][0]


def remedy(kind: str) -> str:
    """What to do about a kind."""
    return KINDS[kind][1]
