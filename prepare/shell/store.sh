# shellcheck shell=sh
# Where Ollama keeps a model, whether all of it is there, and who may write.

# $manifest: the file in which Ollama keeps the manifest of model $1.
locate() {
    locate_name=${1#http://}
    locate_model=${locate_name##*/}
    locate_host=registry.ollama.ai locate_namespace=library locate_tag=latest
    case $locate_model in *:*) locate_tag=${locate_model##*:} locate_model=${locate_model%:*} ;; esac
    case $locate_name in
    */*)
        locate_before=${locate_name%/*}
        locate_namespace=${locate_before##*/}
        case $locate_before in */*) locate_host=${locate_before%/*} ;; esac
        ;;
    esac
    manifest=$store/manifests/$locate_host/$locate_namespace/$locate_model/$locate_tag
    # Ollama finds a model whatever the case of its letters.
    if [ ! -f "$manifest" ] && [ -d "$store/manifests" ]; then
        locate_found=$(find "$store/manifests" -mindepth 4 -maxdepth 4 -type f -ipath "$manifest" 2>/dev/null | head -n 1)
        manifest=${locate_found:-$(spelled "${manifest#"$store/manifests/"}")}
    fi
}

# The file of a new manifest, $1 below manifests/. Host, namespace, model and tag each keep the spelling that they have in
# any other: Ollama (0.17.4, getExistingName) takes one of those, by chance where there are two, and finds nothing there.
spelled() {
    find "$store/manifests" -mindepth 4 -maxdepth 4 -type f -printf '%P\n' 2>/dev/null |
        awk -F / -v OFS=/ -v path="$1" -v store="$store/manifests" '
            BEGIN { n = split(path, part) }
            { for (i = 1; i <= n; i++) if (tolower($i) == tolower(part[i])) part[i] = $i }
            END { print store, part[1], part[2], part[3], part[4] }'
}

digest_of() { [ -f "$1" ] && sha256sum <"$1" | cut -c 1-64; }

# Digest and size of each blob that manifest file $1 names.
blobs_of() {
    tr -d '[:space:]' <"$1" | grep -o '"digest":"sha256:[0-9a-f]\{64\}","size":[0-9]*' | sed 's/.*sha256://; s/","size":/ /'
}

# Whether manifest file $1 is there with all its blobs in full length, at digest $2 unless that is -.
in_place() {
    [ -f "$1" ] || return 1
    [ "$2" = - ] || [ "$(digest_of "$1")" = "$2" ] || return 1
    # Ollama writes manifests in place: one that a crash cut short names no weights, or does not end.
    case $(tail -c 2 "$1") in *'}') ;; *) return 1 ;; esac
    grep -q 'vnd\.ollama\.image\.\(model\|tensor\)' "$1" || return 1
    blobs_of "$1" |
        while read -r blob size; do
            [ -f "$store/blobs/sha256-$blob" ] && [ "$(wc -c <"$store/blobs/sha256-$blob")" -eq "$size" ] || exit 1
        done
}

# The blob of weights behind manifest file $1: two names with one blob are loaded once.
weights_of() {
    grep -o 'vnd\.ollama\.image\.model","digest":"sha256:[0-9a-f]\{64\}' "$1" 2>/dev/null | sed 's/.*sha256://' | head -n 1
}

# What Ollama calls the model of manifest file $1 (a path below manifests/).
called() {
    called_tag=${1##*/}
    called_rest=${1%/*}
    called_rest=${called_rest#registry.ollama.ai/}
    printf '%s:%s' "${called_rest#library/}" "$called_tag"
}

# Kilobytes that are free for models.
free_space() { df -Pk "$store" 2>/dev/null | awk 'NR == 2 { print $4 }'; }

# One writer at a time: pods of one node may share a store, and Ollama knows no lock between processes. The kernel lets
# go of this one when its holder ends, however it ends.
try_lock() {
    # `command`, or a shell whose exec fails ends there and then; full or read-only is said where it matters
    mkdir -p "$notes" 2>/dev/null && { command exec 9>"$notes/lock"; } 2>/dev/null || return 0
    command -v flock >/dev/null || return 0
    flock -n 9
}

unlock() { exec 9>&-; }

# From now on this process serves the store, and what it becomes.
note_serving() {
    mkdir -p "$notes" 2>/dev/null && { command exec 8>"$notes/serving"; } 2>/dev/null && command -v flock >/dev/null && flock -s 8
}

# Whether another pod's server runs on this store.
served() {
    [ -f "$notes/serving" ] && command -v flock >/dev/null && ! flock -n "$notes/serving" true
}
