# shellcheck shell=sh
# Settings, words to the log, and how every mode ends.

definitions=${FLEET_MODELS:-/etc/ollama-fleet/models}
routes=${FLEET_ROUTES:-/etc/ollama-fleet/routes}
override=${FLEET_OVERRIDE:-/etc/ollama-fleet/override}
pool=${FLEET_POOL:-}
inputs=${FLEET_INPUTS:-}
store=${OLLAMA_MODELS:-${HOME:-/tmp}/.ollama/models}
notes=$store/ollama-fleet
state=${FLEET_STATE:-${HOME:-/tmp}/fleet}
termination_log=${TERMINATION_LOG:-/dev/termination-log}
address=${OLLAMA_HOST:-127.0.0.1:11434}
port=${address##*:}
case $port in '' | *[!0-9]*) port=11434 ;; esac
tries=${PULL_TRIES:-6}
first_pause=${RETRY_SECONDS:-2}
tab=$(printf '\t')
escape=$(printf '\033')

mode=${1:-}
work='' server='' client='' sleeper='' warmer=''
deadline=0
why='' # one line about the last failure
brought=0

say() { printf 'prepare: %s\n' "$*"; }
# Seconds by a clock that nobody sets: with the day's, an hour back would be an hour without a try.
now() { read -r now_up _ </proc/uptime && echo "${now_up%%.*}"; }

# A sleep that a signal can end at once: the shell runs its traps only between two foreground commands.
pause() {
    sleep "$1" 9>&- &
    sleeper=$!
    wait "$sleeper"
    sleeper=''
}

begin() {
    umask 022
    work=$(mktemp -d "${TMPDIR:-/tmp}/prepare.XXXXXX") || exit "$OTHER"
    mkdir -p "$state" 2>/dev/null
}

stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null
    stop_ticks=0
    while kill -0 "$server" 2>/dev/null; do
        stop_ticks=$((stop_ticks + 1))
        [ "$stop_ticks" -lt 200 ] || kill -KILL "$server" 2>/dev/null
        sleep 0.05
    done
    wait "$server" 2>/dev/null
    server=''
}

# Ends what was started and leaves with code $1.
leave() {
    trap '' TERM INT
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
    [ -z "$client" ] || { kill "$client" 2>/dev/null && wait "$client" 2>/dev/null; }
    [ -z "$warmer" ] || { kill "$warmer" 2>/dev/null && wait "$warmer" 2>/dev/null; }
    stop_server
    [ -z "$work" ] || rm -rf "$work"
    exit "$1"
}

# The one line that Kubernetes keeps of a container that ended.
last_words() {
    last_line=$(printf '%s' "$1" | tr -s '[:cntrl:]' ' ' | cut -c 1-1000)
    { printf '%s\n' "$last_line" >"$termination_log"; } 2>/dev/null || say "cannot write $termination_log"
}

fail() { # CODE, with $why
    say "failed: $why"
    last_words "$why"
    leave "$1"
}
