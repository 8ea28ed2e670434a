# shellcheck shell=sh
# Loads models into the running server: before the pod is proven ready, and again when a client has unloaded one.

# The models to keep loaded, one of each blob: all of them where they fit together, else the first, for the proof.
to_warm() {
    warm_blobs=''
    while IFS=$tab read -r warm_action warm_name _ <&3; do
        [ "$warm_action" != copy ] || continue
        locate "$warm_name"
        in_place "$manifest" - || continue # it is still on its way
        warm_blob=$(weights_of "$manifest")
        case " $warm_blobs " in *" $warm_blob "*) continue ;; esac
        [ -n "$warm_blob" ] || continue
        warm_blobs="$warm_blobs $warm_blob"
        printf '%s\t%s\n' "$warm_blob" "$warm_name"
        [ "${FLEET_LOADING:-onDemand}" = together ] || break
    done 3<"$state/own.tsv"
}

# The blobs that are loaded, whatever the names under which they were.
loaded_blobs() {
    ask 10 ps || return 1
    plain | awk 'NR > 1 && NF { print $1 }' >"$work/loaded"
    while read -r loaded_name <&3; do
        locate "$loaded_name" && weights_of "$manifest"
    done 3<"$work/loaded"
}

# `ollama run` without a prompt loads a model and generates nothing; an encoder wants a word.
load() {
    ask "${LOAD_SECONDS:-600}" run "$1" && return 0
    case $(plain) in *'require input'* | *'does not support generate'*) ask "${LOAD_SECONDS:-600}" run "$1" warm ;; *) return 1 ;; esac
}

# Loads what is to be loaded and is not: 0, 1 where one did not load, 2 where no server answers. Writes $state/warm: `ok NAME` or `failed NAME why`, for the proof.
warm() {
    loaded_blobs >"$work/blobs" || return 2
    warm_code=0
    to_warm >"$work/to-warm"
    : >"$work/warm"
    while IFS=$tab read -r warm_blob warm_name <&4; do
        if ! grep -qxF "$warm_blob" "$work/blobs"; then
            say "$warm_name: loading"
            if ! load "$warm_name"; then
                last_error
                say "$warm_name does not load: $error"
                printf 'failed\t%s\t%s\n' "$warm_name" "$error" >>"$work/warm"
                warm_code=1
                continue
            fi
            say "$warm_name: loaded"
        fi
        printf 'ok\t%s\n' "$warm_name" >>"$work/warm"
    done 4<"$work/to-warm"
    cp "$work/warm" "$state/warm.new" && mv "$state/warm.new" "$state/warm"
    return "$warm_code"
}
