# shellcheck shell=sh
# Beside the running server: what the list or the map gains or changes goes into it, what a client unloaded is loaded
# again, what nothing uses any more is removed.

# One pass over the list. 0, LIST_CHANGED, or the code of the last failure.
round() {
    cp "$work/list/models.tsv" "$state/own.new" && mv "$state/own.new" "$state/own.tsv"
    if ! try_lock; then
        why="another pod writes to $store" && say "$why: waiting" && return "$OTHER"
    fi
    remove_blobs "$notes/removing"
    before_round=$brought
    bring_all "$work/list/wanted.tsv"
    round_code=$?
    unlock
    [ "$round_code" -ne 0 ] || say "the list is in place, $((brought - before_round)) new"
    find_unwanted
    unwanted_since=$(now)
    return "$round_code"
}

# Other pods may follow an older map for a while: the kubelet takes about a minute to bring a new one.
remove_in_time() {
    [ -s "$work/unwanted" ] && [ $(($(now) - unwanted_since)) -ge "${REMOVE_SECONDS:-180}" ] || return 0
    try_lock || return 0
    remove_unwanted
    unlock
    : >"$work/unwanted"
}

# The server writes a line for each request; the proof of the GPU needs the first ones only.
trim_log() {
    [ "$(wc -c 2>/dev/null <"$state/server.log" || echo 0)" -lt 10000000 ] || : >"$state/server.log"
}

# A loop of its own: a pull of an hour must not keep a model unloaded for so long.
keep_warm() {
    trap 'leave 0' TERM INT
    begin
    warmer='' sleeper='' client='' warm_pause=$first_pause
    while :; do
        [ ! -f "$state/own.tsv" ] || warm
        case $? in
        1)
            pause "$warm_pause"
            warm_pause=$((warm_pause * 2))
            [ "$warm_pause" -le 300 ] || warm_pause=300
            continue
            ;;
        0) if [ "${FLEET_LOADING:-onDemand}" != together ] && [ -s "$state/warm" ]; then leave 0; fi ;;
        esac
        warm_pause=$first_pause
        pause "${WATCH_SECONDS:-10}"
    done
}

watch() {
    trap 'leave 0' TERM INT
    begin
    # A fault may pass at any time: the rounds below are the retries.
    tries=1
    waiting='' listed='' again_at=0 again_pause=$first_pause unwanted_since=0
    if [ "${FLEET_LOADING:-onDemand}" = together ] || [ "${FLEET_PROOF:-none}" != none ]; then
        keep_warm &
        warmer=$!
    fi
    while :; do
        if list_changed; then again_at=1 again_pause=$first_pause; fi
        if [ "$again_at" -gt 0 ] && [ "$(now)" -ge "$again_at" ]; then
            if ! answers; then
                [ -n "$waiting" ] || say "waiting for the server at $address"
                waiting=yes
            elif snapshot; then
                waiting=''
                round
                case $? in
                0) again_at=0 again_pause=$first_pause ;;
                "$LIST_CHANGED") continue ;;
                *)
                    say "again in $again_pause s"
                    again_at=$(($(now) + again_pause)) again_pause=$((again_pause * 2))
                    [ "$again_pause" -le 300 ] || again_pause=300
                    ;;
                esac
            fi
        fi
        remove_in_time
        trim_log
        pause "${WATCH_SECONDS:-10}"
    done
}
