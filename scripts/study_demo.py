"""Lay out the study of `make study-demo`: links to images, groups of classes, study.toml.

    python scripts/study_demo.py DATA DIR

DATA holds `imagenet/` and `imagenet_val/`, each with `images/<wnid>/<file>`, and
`imagenet/synset_words.txt`, whose lines are in the order of the classes. Nothing is copied.
"""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from typing import Final

# Coarse groups of ImageNet's classes, by their index: ours, by what things are for, not WordNet's.
# What fits none of them (tools, kitchenware, containers, plants …) is left out of the probe.
_PARTS: Final = {
    "bird": "7-24 80-100 127-146",
    "dog": "151-268",
    "other mammal": "101-106 147-150 269-299 330-388",
    "arthropod": "69-79 300-326",
    "fish or reptile": "0-6 25-68 389-397",
    "clothing": (
        "399 400 411 433 439 445 451 452 457 459 461 465 474 490 501 502 514 515 518 524 529 552 "
        "560 568 578 601 608 610 614 615 617 630 638 639 643 652 655 658 667 689 697 715 735 770 "
        "774 775 793 796 806 808 824 834 836 837 841 842 869 887 903 906"
    ),
    "instrument": (
        "401 402 420 432 486 494 513 541 546 558 566 577 579 593 594 641 642 683 684 687 699 776 "
        "822 875 881 889"
    ),
    "land vehicle": (
        "407 408 428 436 444 450 466 468 511 547 555 561 565 569 573 575 586 603 609 612 627 654 "
        "656 661 665 670 671 675 690 705 717 734 751 757 779 802 803 817 820 829 847 864 866 867 "
        "870 874 880"
    ),
    "boat": "403 472 484 510 554 576 625 628 724 780 814 833 871 914",
    "sport": ("416 422 429 430 522 543 574 602 702 722 736 747 752 768 795 805 852 890 981"),
    "food": "924-967 969",
    "building": (
        "410 425 437 442 449 460 483 497 498 500 525 538 540 562 580 634 649 663 668 682 698 706 "
        "718 727 743 821 832 839 853 858 863 873 888 900 915"
    ),
    "furniture": "423 431 453 493 495 516 520 526 532 548 553 559 564 703 765 831 846 857 861 894",
    "shop": "415 424 454 467 509 582 762 788 860 865",
    "electric device": (
        "409 480 481 482 485 487 508 527 528 530 531 545 590 592 605 613 620 632 650 651 662 664 "
        "673 681 688 713 732 742 745 754 759 760 761 782 810 811 848 851 859 878 882 886 897"
    ),
}

_STUDY: Final = """\
seeds = [0, 1, 2]

[data]
name = "1,112 ImageNet images"
images = "images"
groups = "groups.csv"
ledger = "faces/ledger.sqlite"
folds = 5

[arms]
train = ["original", "reencoded", "gaussian", "fill", "imagenet", "remedy-gaussian"]
test = [
    "original", "reencoded", "gaussian", "pixelate", "fill", "imagenet",
    "random-gaussian", "random-pixelate", "random-fill", "random-imagenet",
]

[as-is]
classes = "synset_words.txt"

[probe]
l2 = 0.01

[consequences]
images = 150
"""

_ARCHITECTURE: Final = """
[[architectures]]
name = "{name}"
weights = "package"
protocols = ["probe", "as-is"]
"""


def main(data: Path, study: Path) -> None:
    """Write the study's folder."""
    for part in ("imagenet", "imagenet_val"):
        for path in sorted((data / part / "images").glob("*/*")):
            link = study / "images" / path.parent.name / path.name
            link.parent.mkdir(parents=True, exist_ok=True)
            if not link.is_symlink():
                link.symlink_to(os.path.abspath(path))
    words = (data / "imagenet" / "synset_words.txt").read_text(encoding="utf-8")
    (study / "synset_words.txt").write_text(words, encoding="utf-8")
    names = [line.split()[0] for line in words.splitlines() if line.strip()]
    groups = {names[index]: group for group, text in _PARTS.items() for index in _indices(text)}
    with (study / "groups.csv").open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(("folder", "class"))
        writer.writerows((name, groups.get(name, "")) for name in names)
    lites = [_ARCHITECTURE.format(name=f"efficientnet-lite{number}") for number in range(3)]
    (study / "study.toml").write_text(_STUDY + "".join(lites), encoding="utf-8")


def _indices(text: str) -> list[int]:
    """Return the whole numbers of words such as "3" and "7-24" (both ends)."""
    found: list[int] = []
    for word in text.split():
        first, _, last = word.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
