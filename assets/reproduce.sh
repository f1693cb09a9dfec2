#!/usr/bin/env bash
# Train an embedded model again, from the icon packages to the packed weights:
#     assets/reproduce.sh nano|sam-nano FOLDER [cpu|cuda] [options of the training, e.g. --scale 0.1 --workers 12]
# Needs `pip install '.[train]'`, npm, and Debian's wordnet-base (for nano). What is already there is not made again.
set -euo pipefail
cd "$(dirname "$0")/.."
model=$1 folder=$2 device=${3:-cpu}
options=("${@:4}")
python=${PYTHON:-.venv/bin/python}
export PYTHONPATH=.
mkdir -p "$folder/icons"

# The icon sets, as sets.json lists them.
sets=$("$python" -c 'import json; print(*json.load(open("assets/sprites/sets.json")))')
for set in $sets; do
    [ -e "$folder/icons/$set/icons.json" ] && continue
    mkdir -p "$folder/icons/$set"
    archive=$(cd "$folder/icons" && npm pack --silent "@iconify-json/$set")
    tar xzf "$folder/icons/$archive" -C "$folder/icons/$set" --strip-components=1
done

[ -e "$folder/sprites.npz" ] || "$python" assets/sprites/render.py --icons "$folder/icons" --output "$folder/sprites.npz"
[ -e "$folder/stock/held-out/names.json" ] ||
    "$python" assets/sprites/restyle.py --sprites "$folder/sprites.npz" --output "$folder/stock"

case $model in
nano)
    train=assets/nano/train
    [ -e "$folder/words.pt" ] ||
        "$python" $train/words.py --nouns /usr/share/wordnet/index.noun --output "$folder/words.pt"
    # The text tower first: pictures are told what it says, so the two agree.
    "$python" $train/text.py --words "$folder/words.pt" --checkpoints "$folder/text" --device "$device" "${options[@]}"
    "$python" $train/image.py --stock "$folder/stock" --text "$folder/text/text.pt" --checkpoints "$folder/image" \
        --device "$device" "${options[@]}"
    "$python" $train/pack.py --checkpoint "$folder/image/full.pt" --words "$folder/words.pt"
    "$python" $train/measure.py --stock "$folder/stock"
    ;;
sam-nano)
    train=assets/sam-nano/train
    "$python" $train/train.py --stock "$folder/stock" --checkpoints "$folder/sam" --device "$device" "${options[@]}"
    "$python" $train/pack.py --checkpoint "$folder/sam/full.pt"
    ;;
*)
    echo "expected nano or sam-nano, got $model" >&2
    exit 2
    ;;
esac
