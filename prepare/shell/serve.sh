# shellcheck shell=sh
# The server itself, and the end of its pod.

# Starts it with its log kept where the proof of the GPU reads it. The server takes this process's place, so that a
# signal of the kubelet reaches it.
serve() {
    begin
    mkdir -p "$state" || exit "$OTHER"
    rm -f "$state/warm" "$state/server-log" "$state/proven"
    # a driver or a card that is not the planned one falls to the CPU without a word: no server rather than that one
    fits || fail "$UNFIT"
    rm -rf "$work"
    : >"$state/server.log"
    mkfifo "$state/server-log" || exit "$OTHER"
    note_serving
    tee -a "$state/server.log" <"$state/server-log" &
    exec ollama serve >"$state/server-log" 2>&1
}

# The server with nobody beside it: it loads the first model of the list itself, for the proof and the first request.
alone() {
    mkdir -p "$state" && rm -f "$state/warm" && cp "$definitions/models.tsv" "$state/own.tsv" || exit "$OTHER"
    keep_warm &
    serve
}

# Established connections to the server's port; column 2 is our address, column 4 the state (01: established).
connected() {
    cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        awk -v port="$(printf ':%04X' "$port")" '$4 == "01" && substr($2, length($2) - 4) == port { n++ } END { print n + 0 }'
}

drain() {
    trap 'leave 0' TERM INT
    drain_until=$(($(now) + $1))
    # The endpoint has to leave the router first, or new requests arrive behind the last old one.
    if [ "$1" -lt 5 ]; then pause "$1"; else pause 5; fi
    while [ "$(connected)" -gt 0 ]; do
        if [ "$(now)" -ge "$drain_until" ]; then
            say "drain: $(connected) still connected after $1 s"
            return 0
        fi
        pause 1
    done
}
