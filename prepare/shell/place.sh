# shellcheck shell=sh
# Changes and removes what a name stands for so that no request meets it half done. Ollama (0.17.4, manifest/manifest.go)
# writes a manifest in place and removes at once the blobs that only the old one named: who asks just then gets a 500, who
# waits for his turn a 404. And it lists all manifests for each request: a file that goes meanwhile is a 404 for any model.

# A name of ours beside model $2, which says what it is for. It has to be one that Ollama lists, or it would prune the blobs.
beside() { # WORD NAME
    locate "$2"
    printf '%s.%s/%s/%s:%s' "$1" "$locate_host" "$locate_namespace" "$locate_model" "$locate_tag"
}

# The name under which a model is kept as it was pulled, when a `create` of the same name is laid over it: so a restart
# can compare the pinned digest, and a changed or dropped context starts from the original, all without the registry.
as_pulled() { beside as-pulled "$1"; }

# Keeps the blobs of manifest file $1 for requests under way, until what is unwanted is removed. $kept_manifest: its copy.
keep_blobs() {
    kept_manifest=''
    in_place "$1" - || return 0
    keep_path=${1#"$store/manifests/"}
    keep_path=$store/manifests/replaced.${keep_path%/*}/$(digest_of "$1" | cut -c 1-12)
    write_manifest "$1" "$keep_path" && kept_manifest=$keep_path
}

write_manifest() { # FROM TO
    note "$2"
    mkdir -p "$notes" "${2%/*}" && cp "$1" "$notes/manifest" && mv -T "$notes/manifest" "$2" && return 0
    why="cannot write $2" && return "$DISK_FULL"
}

# What manifest file $1 says, $2 says from now on.
place() { # FROM TO
    if [ "$(digest_of "$1")" = "$(digest_of "$2")" ]; then return 0; fi
    keep_blobs "$2" && write_manifest "$1" "$2"
}

# Manifest file $1 says from now on that there is no such model. Not by its removal: see above.
hide() {
    case ${1#"$store/manifests/"} in
    # Nobody asks for a name of ours. A link to its folder is passed over without a word.
    new.* | replaced.* | as-pulled.*) ln -sfn . "$notes/hidden" && mv -T "$notes/hidden" "$1" ;;
    *) bury "$1" ;;
    esac
}

# A manifest without its configuration: a request gets a 404, which the router tries elsewhere, and a pull writes over it.
bury() {
    bury_digest=sha256:$(printf '%064d' 0)
    printf '{"schemaVersion":2,"config":{"digest":"%s","size":0},"layers":[]}\n' "$bury_digest" >"$notes/buried" &&
        mv -T "$notes/buried" "$1"
}

# Ollama is about to write manifest file $1: not through a link.
show_again() { [ ! -L "$1" ] || bury "$1"; }

# What was hidden, while no server runs.
forget_hidden() {
    find "$store/manifests" -type l -lname . -delete 2>/dev/null
    find "$store/manifests" -type f -size -2 -exec grep -lF "sha256:$(printf '%064d' 0)" {} + 2>/dev/null |
        while read -r forget_buried; do rm -f "$forget_buried"; done
}

# Removes manifest file $1 and the blobs that no other one names. A full disk leaves no room to hide it, and has to be freed.
remove_manifest() {
    blobs_of "$1" >"$work/removing"
    # for the next start, should this one be stopped
    { cat "$work/removing" >>"$notes/removing"; } 2>/dev/null
    hide "$1" 2>/dev/null || rm -f "$1"
    remove_blobs "$work/removing"
    rm -f "$notes/removing"
}

# Removes the blobs that file $1 lists, and it.
remove_blobs() {
    [ -f "$1" ] || return 0
    while read -r remove_blob _ <&5; do
        is_named "$remove_blob"
        # 2 is no answer
        [ $? -ne 1 ] || rm -f "$store/blobs/sha256-$remove_blob"
    done 5<"$1"
    rm -f "$1"
}

# Whether any manifest names blob $1: 1 where none does. As Ollama looks for them: through a folder that is a link, too.
is_named() {
    named_blob=$1
    set -- "$store"/manifests/*/*/*/*
    [ -e "$1" ] || return 1
    grep -d skip -qF "sha256:$named_blob" "$@" 2>/dev/null
}
