# shellcheck shell=sh
# The `ollama` client: the only way to talk to a server in the stock image.

# Runs `ollama` with the given arguments, $1 seconds at most; output into $work/output.
ask() {
    ask_limit=$1
    shift
    # --foreground: no process group of its own, so that whoever ends our group ends it too.
    timeout --foreground -k 5 "$ask_limit" ollama "$@" >"$work/output" 2>&1 </dev/null 9>&- &
    client=$!
    wait "$client"
    ask_status=$?
    client=''
    return "$ask_status"
}

answers() { ask 10 list; }

# The client's output without what it draws for a terminal.
plain() { tr '\r' '\n' <"$work/output" | LC_ALL=C sed "s/$escape\\[[0-9;?]*[A-Za-z]//g"; }

# $error: what the client said last.
last_error() {
    error=$(plain | sed -n '/Error: /,$ { s/.*Error: //; p; }')
    [ -n "$error" ] || error=$(plain | grep -v '^[[:space:]]*$' | tail -n 1)
    error=$(printf '%s' "${error:-no message}" | tr -s '[:space:]' ' ' | cut -c 1-600)
}
