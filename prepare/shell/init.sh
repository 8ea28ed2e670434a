# shellcheck shell=sh
# The init container: a server of its own on loopback, every model into place, what is no longer declared removed.

start_server() {
    if ! mkdir -p "$store/blobs" "$store/manifests"; then
        why="cannot write $store: $(free_space) KiB free" && return "$DISK_FULL"
    fi
    # Without this it would be taken for ours, and models would be brought into somebody else's server.
    if answers; then why="another server answers at $OLLAMA_HOST" && return "$NO_SERVER"; fi
    ollama serve >"$work/server.log" 2>&1 9>&- &
    server=$!
    start_until=$(($(now) + ${SERVER_SECONDS:-60}))
    until answers; do
        if ! kill -0 "$server" 2>/dev/null || [ "$(now)" -ge "$start_until" ]; then
            error=$(tail -n 1 "$work/server.log")
            tail -n 5 "$work/server.log"
            start_code=$(kind_of "$error")
            [ "$start_code" -eq "$DISK_FULL" ] || start_code=$NO_SERVER
            explain "$start_code" "the models" "$error"
            return "$start_code"
        fi
        pause 0.1
    done
}

wait_for_lock() {
    try_lock && return 0
    say "another pod writes to $store: waiting"
    until try_lock; do
        if [ "$(now)" -ge "$deadline" ]; then
            why="another pod still writes to $store after ${PULL_DEADLINE:-3600} s" && return "$DEADLINE"
        fi
        pause 1
    done
}

# What the readiness probe asks for: the models that were declared when the pod started.
note_started() {
    while IFS=$tab read -r _ started_name _ <&3; do
        locate "$started_name"
        called "${manifest#"$store/manifests/"}" && echo
    done 3<"$work/list/models.tsv" >"$state/started"
}

init() {
    trap 'why="stopped by a signal"; fail "$STOPPED"' TERM INT
    begin
    started=$(now)
    deadline=$((started + ${PULL_DEADLINE:-3600}))
    # Reachable by nobody else, whatever the server's own setting is; and a start that prunes would drop partial downloads.
    export OLLAMA_HOST="127.0.0.1:$port" OLLAMA_NOPRUNE=1
    snapshot || { why="no models.tsv in $definitions" && fail "$WRONG_LIST"; }
    fill_inputs || fail $?
    if [ -s "$work/list/models.tsv" ] || [ -s "$notes/brought" ]; then
        wait_for_lock || fail $?
        remove_blobs "$notes/removing"
        # who asks another pod's server just then would get a 404: its companion removes what nothing uses, later
        served || forget_hidden
        start_server || fail $?
        bring_all "$work/list/models.tsv" || fail $?
        find_unwanted
        served || remove_unwanted
        rm -rf "$notes/downloads" # all that is wanted is whole
    fi
    note_started
    say "$(grep -c "$tab" "$work/list/models.tsv") entries in place, $brought of them new, in $(($(now) - started)) s"
    leave 0
}
