# shellcheck shell=sh
# Removes what is no longer declared: only what we put there, and only when the map has let go of it.

# Notes that manifest file $1 is ours to remove.
note() {
    mkdir -p "$notes" 2>/dev/null || return 0
    grep -qxF "${1#"$store/manifests/"}" "$notes/brought" 2>/dev/null ||
        { printf '%s\n' "${1#"$store/manifests/"}" >>"$notes/brought"; } 2>/dev/null
}

# The manifest files that the list, or the map, still uses.
used() {
    while IFS=$tab read -r used_action used_name used_source _ <&3; do
        locate "$used_name" && printf '%s\n' "$manifest"
        case $used_action in
        pull)
            locate "$used_source" && printf '%s\n' "$manifest"
            locate "$(as_pulled "$used_name")" && printf '%s\n' "$manifest"
            ;;
        create)
            locate "$(from_model "$work/list/$used_source")" && printf '%s\n' "$manifest"
            ;;
        esac
    done 3<"$work/list/wanted.tsv"
    [ -f "$work/routed" ] || return 0
    while IFS=$tab read -r used_action used_name _ <&3; do
        if [ "$used_action" = model ]; then locate "$used_name" && printf '%s\n' "$manifest"; fi
    done 3<"$work/routed"
}

# $work/unwanted: what we put there and nothing uses, as paths below manifests/.
find_unwanted() {
    : >"$work/unwanted"
    [ -s "$notes/brought" ] || return 0
    used | sed "s|^$store/manifests/||" | sort -u >"$work/used"
    grep -vxFf "$work/used" "$notes/brought" | sort -u >"$work/unwanted"
}

# Removes what find_unwanted found.
remove_unwanted() {
    while read -r unwanted <&4; do
        unwanted_name=$(called "$unwanted")
        # a removed model makes no pod unready
        forget_started "$unwanted_name"
        if [ -f "$store/manifests/$unwanted" ]; then
            say "$unwanted_name: removing, nothing declares or routes it any more"
            unwanted_weights=$(weights_of "$store/manifests/$unwanted")
            # Names that share their weights share the runner.
            sed "s|^|$store/manifests/|" "$work/used" | tr '\n' '\0' | xargs -0 grep -ls "${unwanted_weights:-none}" | grep -q . ||
                ask 60 stop "$unwanted_name"
            remove_manifest "$store/manifests/$unwanted"
        fi
        rm -f "$notes/created/$unwanted"
        grep -vxF "$unwanted" "$notes/brought" >"$notes/brought.new"
        # 2: the disk is full, and half of the notes would be lost
        [ $? -gt 1 ] || mv "$notes/brought.new" "$notes/brought"
    done 4<"$work/unwanted"
}

# $state/started names what was declared when the pod started: what readiness asks for.
forget_started() {
    [ -f "$state/started" ] || return 0
    grep -vxF "$1" "$state/started" >"$state/started.new"
    mv "$state/started.new" "$state/started"
}
