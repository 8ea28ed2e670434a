# shellcheck shell=sh
# Pulls: with progress, back-off, a deadline, and a look at the disk.

# Progress of the running pull, as a plain line. The client draws ten times a second: its output is kept short.
progress() {
    progress_line=$(plain | LC_ALL=C grep '%' | tail -n 1 | LC_ALL=C sed 's/%[^0-9]*/%, /; s/[[:space:]][[:space:]]*/ /g; s/ $//')
    say "$1: ${progress_line:-waiting for the registry}"
    if [ "$(wc -c <"$work/output")" -gt 1000000 ]; then : >"$work/output"; fi
}

stop_client() {
    kill "$client" 2>/dev/null
    wait "$client" 2>/dev/null
    client=''
}

# Whether the disk holds the rest of the running pull, as far as its own bar tells ("1.2 GB/4.9 GB", decimal). Asked
# while it runs, since only the registry knows the size: better than to find out after hours.
has_room() {
    room_left=$(plain | LC_ALL=C awk '
        function kilobytes(number, unit) {
            return number * (unit == "TB" ? 1e9 : unit == "GB" ? 1e6 : unit == "MB" ? 1e3 : unit == "KB" ? 1 : 0.001)
        }
        match($0, /[0-9.]+ [KMGT]?B\/ *[0-9.]+ [KMGT]?B/) {
            split(substr($0, RSTART, RLENGTH), part, /[ \/]+/)
            left = kilobytes(part[3], part[4]) - kilobytes(part[1], part[2])
        }
        END { printf "%d", left }')
    room_free=$(free_space)
    [ "$room_left" -gt "${room_free:-$room_left}" ] || return 0
    why="disk full at $store: $1 still needs $((room_left / 1000)) MB and $((room_free * 1024 / 1000000)) MB are free"
    return 1
}

# One try of `ollama pull`: 0, NO_ROOM, 124 at the deadline, LIST_CHANGED, else the client's status.
pull_once() {
    pull_name=${1#http://}
    pull_left=$((deadline - $(now)))
    [ "$pull_left" -gt 0 ] || return 124
    : >"$work/output"
    if [ "$pull_name" = "$1" ]; then set -- pull "$pull_name"; else set -- pull --insecure "$pull_name"; fi
    timeout --foreground -k 5 "$pull_left" ollama "$@" >>"$work/output" 2>&1 </dev/null 9>&- &
    client=$!
    pull_ticks=0
    while kill -0 "$client" 2>/dev/null; do
        pull_ticks=$((pull_ticks + 1))
        # short at first: most pulls of a restart only read a manifest, and a small model is here in seconds
        if [ "$pull_ticks" -le 30 ]; then pause 0.1; else pause 1; fi
        if ! has_room "$pull_name"; then stop_client && return "$NO_ROOM"; fi
        if [ "$pull_ticks" -lt 30 ] || [ $((pull_ticks % 5)) -ne 0 ]; then continue; fi
        progress "$pull_name"
        # A stalled model that is no longer wanted must not keep the new ones waiting; what has come is kept.
        if [ "$mode" = watch ] && list_changed; then stop_client && return "$LIST_CHANGED"; fi
    done
    wait "$client"
    pull_status=$?
    client=''
    [ "$pull_status" -ne 137 ] || pull_status=124
    return "$pull_status"
}

# Pulls $1 with back-off. Faults that may pass are tried again; what only a change of the file cures is not.
pull() {
    pull_try=1 pull_pause=$first_pause error='' pull_code=$DEADLINE
    say "$1: pulling"
    while :; do
        pull_once "$1"
        case $? in
        0) return 0 ;;
        "$LIST_CHANGED") why="$1: the list changed, starting over" && return "$LIST_CHANGED" ;;
        "$NO_ROOM") return "$DISK_FULL" ;;
        124)
            # after failed tries their cause says more than the clock
            explain "$pull_code" "$1" "${error:-$(plain | LC_ALL=C grep '%' | tail -n 1 | tr -cd '[:alnum:] %:/.' | tr -s ' ')}"
            return "$pull_code"
            ;;
        esac
        last_error
        pull_code=$(kind_of "$error")
        explain "$pull_code" "$1" "$error"
        case $pull_code in "$UNKNOWN_MODEL" | "$TOO_OLD" | "$DISK_FULL" | "$DENIED" | "$NO_SERVER") return "$pull_code" ;; esac
        [ "$pull_try" -lt "$tries" ] || return "$pull_code"
        say "try $pull_try of $tries: $why; again in $pull_pause s"
        pause "$pull_pause"
        pull_try=$((pull_try + 1)) pull_pause=$((pull_pause * 2))
    done
}

# Pulls $1 into manifest file $2 and verifies it: whole, at digest $3.
pull_verified() {
    brought=$((brought + 1))
    locate "$1" && note "$manifest"
    keep_blobs "$manifest" || return $?
    pull "$1" || return $?
    locate "$1" # another case of letters may have been met
    if ! in_place "$manifest" -; then
        why="$1 is not whole after its pull" && return "$OTHER"
    fi
    if ! in_place "$manifest" "$2"; then
        why="digest differs for $1: the registry has $(digest_of "$manifest"), the file pins $2"
        # Nobody may be served what was not pinned; what was before serves on. The blobs stay: a corrected pin costs one
        # manifest.
        if [ -n "$kept_manifest" ]; then write_manifest "$kept_manifest" "$manifest"; else hide "$manifest"; fi
        return "$WRONG_DIGEST"
    fi
}
