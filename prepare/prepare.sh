#!/bin/sh
# Brings the models of a pool into its Ollama server: before the server starts, and beside it while it runs.
#
#   prepare.sh init          the init container: a server of its own on loopback, every model into place, exit 0
#   prepare.sh watch         beside the server: what the list gains or changes goes into the running server
#   prepare.sh drain LIMIT   the server's preStop hook: wait until nobody is connected, LIMIT seconds at most
#
# It runs in the stock ollama/ollama image (no curl there: the `ollama` client is the only way to talk to the server),
# as any user, on a read-only root. It writes to $HOME, /tmp and $OLLAMA_MODELS only.
#
# The list is the folder $FLEET_MODELS (a mounted ConfigMap): models.tsv, one entry a line in the order in which they can
# be made, and the Modelfiles that it names.
#   pull    NAME  SOURCE      DIGEST    SOURCE as the registry calls it; http://HOST/NAMESPACE/MODEL:TAG for plain HTTP
#   create  NAME  MODELFILE   -         the file's name in the folder
#   copy    NAME  SOURCE      -         another name of the list
# DIGEST is the sha256 of the manifest, or - for whatever the registry has.
#
# Environment, with defaults:
#   FLEET_MODELS=/etc/ollama-fleet/models   OLLAMA_MODELS=$HOME/.ollama/models   OLLAMA_HOST=127.0.0.1:11434
#   PULL_DEADLINE=3600      seconds for all pulls of a start, or for one pull beside a running server
#   PULL_TRIES=6            tries of a pull in init, when the fault may pass; RETRY_SECONDS=2 before the second, then doubled
#   WATCH_SECONDS=5         between two looks at the list
#   SERVER_SECONDS=60       until the server of init answers
#   TERMINATION_LOG=/dev/termination-log    gets one line that says why init failed
set -u

# Exit codes of init. 1 and 2 stay the shell's own, 126 and above too.
readonly NOT_REACHABLE=10 NAME_RESOLUTION=11 TLS=12 DENIED=13 UNKNOWN_MODEL=14 DISK_FULL=15 TOO_OLD=16 WRONG_DIGEST=17
readonly WRONG_MODELFILE=18 DEADLINE=19 NO_SERVER=20 WRONG_LIST=21 NO_SOURCE=22 OTHER=29 STOPPED=143
# Not an exit code: the list changed while a model was on its way.
readonly LIST_CHANGED=99

definitions=${FLEET_MODELS:-/etc/ollama-fleet/models}
store=${OLLAMA_MODELS:-${HOME:-/tmp}/.ollama/models}
termination_log=${TERMINATION_LOG:-/dev/termination-log}
address=${OLLAMA_HOST:-127.0.0.1:11434}
port=${address##*:}
case $port in '' | *[!0-9]*) port=11434 ;; esac
tries=${PULL_TRIES:-6}
first_pause=${RETRY_SECONDS:-2}
tab=$(printf '\t')
escape=$(printf '\033')

mode=${1:-}
work='' server='' client='' sleeper=''
deadline=0
why='' # one line about the last failure
brought=0

say() { printf 'prepare: %s\n' "$*"; }
now() { date +%s; }

# A sleep that a signal can end at once: the shell runs its traps only between two foreground commands.
pause() {
    sleep "$1" &
    sleeper=$!
    wait "$sleeper"
    sleeper=''
}

# ---------------------------------------------------------------------------------------------- names and manifests

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
    # Ollama finds a model whatever the case of its letters, and keeps the case that it met first.
    if [ ! -f "$manifest" ] && [ -d "$store/manifests" ]; then
        locate_found=$(find "$store/manifests" -mindepth 4 -maxdepth 4 -type f -ipath "$manifest" 2>/dev/null | head -n 1)
        manifest=${locate_found:-$manifest}
    fi
}

# The name under which a model is kept as it was pulled, when a `create` of the same name is laid over it: so a restart
# can compare the pinned digest, and a changed or dropped context starts from the original, all without the registry.
# The name has to be one that Ollama lists, or it would prune the blobs.
as_pulled() {
    locate "$1"
    printf 'as-pulled.%s/%s/%s:%s' "$locate_host" "$locate_namespace" "$locate_model" "$locate_tag"
}

digest_of() { [ -f "$1" ] && sha256sum <"$1" | cut -c 1-64; }

# Whether manifest file $1 is there with all its blobs in full length, at digest $2 unless that is -.
in_place() {
    [ -s "$1" ] || return 1
    [ "$2" = - ] || [ "$(digest_of "$1")" = "$2" ] || return 1
    # Ollama writes manifests in place: one that a crash cut short names no weights.
    grep -q 'vnd\.ollama\.image\.\(model\|tensor\)' "$1" || return 1
    grep -o '"digest":"sha256:[0-9a-f]\{64\}","size":[0-9]*' "$1" | sed 's/.*sha256://; s/","size":/ /' |
        while read -r blob size; do
            [ -f "$store/blobs/sha256-$blob" ] && [ "$(wc -c <"$store/blobs/sha256-$blob")" -eq "$size" ] || exit 1
        done
}

# ------------------------------------------------------------------------------------------------- the ollama client

# Runs `ollama` with the given arguments, $1 seconds at most; output into $work/output.
ask() {
    ask_limit=$1
    shift
    # --foreground: no process group of its own, so that whoever ends our group ends it too.
    timeout --foreground -k 5 "$ask_limit" ollama "$@" >"$work/output" 2>&1 &
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

# The exit code for what the client said. Texts of Go's net, crypto/x509 and os packages and of Ollama's server/images.go.
kind_of() {
    case $1 in
    *'no space left on device'* | *'quota exceeded'*) echo "$DISK_FULL" ;;
    *'manifest: 412'* | *'newer version of Ollama'*) echo "$TOO_OLD" ;;
    *x509:* | *tls:* | *certificate* | *'HTTP response to HTTPS client'*) echo "$TLS" ;;
    *'no such host'* | *'dial tcp: lookup '* | *'name resolution'*) echo "$NAME_RESOLUTION" ;;
    *': 401'* | *': 403'* | *unauthorized* | *'access denied'*) echo "$DENIED" ;;
    *'manifest: file does not exist'* | *'manifest: 404'*) echo "$UNKNOWN_MODEL" ;;
    *'could not connect to ollama'* | *'ollama server not responding'*) echo "$NO_SERVER" ;;
    *'dial '* | *connect* | *timeout* | *EOF* | *unreachable* | *'no route'* | *': 5'[0-9][0-9]* | *'max retries'* | \
        *'deadline exceeded'*) echo "$NOT_REACHABLE" ;;
    *) echo "$OTHER" ;;
    esac
}

# $why: one line for exit code $1, about $2, with what the client said in $3.
explain() {
    case $1 in
    "$NOT_REACHABLE") why="registry not reachable for $2: $3" ;;
    "$NAME_RESOLUTION") why="the name of the registry does not resolve for $2: $3" ;;
    "$TLS") why="TLS to the registry failed for $2 (a proxy's CA missing, or plain HTTP without http://): $3" ;;
    "$DENIED") why="the registry refuses $2: $3" ;;
    "$UNKNOWN_MODEL") why="the registry does not know $2: check its name and tag" ;;
    "$DISK_FULL") why="disk full at $store while bringing $2: $3" ;;
    "$TOO_OLD") why="this Ollama is too old for $2, use a newer image: $3" ;;
    "$DEADLINE") why="$2 was not here within the pull deadline of ${PULL_DEADLINE:-3600} s: $3" ;;
    "$NO_SERVER") why="the Ollama server does not answer, wanted for $2: $3" ;;
    *) why="$2 failed: $3" ;;
    esac
}

# ------------------------------------------------------------------------------------------------------------- pulls

# Progress of the running pull, as a plain line. The client draws ten times a second: its output is kept short.
progress() {
    progress_line=$(plain | LC_ALL=C grep '%' | tail -n 1 | LC_ALL=C sed 's/%[^0-9]*/%, /; s/[[:space:]][[:space:]]*/ /g; s/ $//')
    say "$1: ${progress_line:-waiting for the registry}"
    if [ "$(wc -c <"$work/output")" -gt 1000000 ]; then : >"$work/output"; fi
}

# One try of `ollama pull`: 0, 124 at the deadline, LIST_CHANGED, else the client's status.
pull_once() {
    pull_name=${1#http://}
    pull_left=$((deadline - $(now)))
    [ "$pull_left" -gt 0 ] || return 124
    : >"$work/output"
    if [ "$pull_name" = "$1" ]; then set -- pull "$pull_name"; else set -- pull --insecure "$pull_name"; fi
    timeout --foreground -k 5 "$pull_left" ollama "$@" >>"$work/output" 2>&1 &
    client=$!
    pull_ticks=0
    while kill -0 "$client" 2>/dev/null; do
        pull_ticks=$((pull_ticks + 1))
        # short at first: most pulls of a restart only read a manifest
        if [ "$pull_ticks" -le 10 ]; then pause 0.1; else pause 1; fi
        if [ "$pull_ticks" -le 10 ] || [ $((pull_ticks % 5)) -ne 0 ]; then continue; fi
        progress "$pull_name"
        # A stalled model that is no longer wanted must not keep the new ones waiting; what has come is kept.
        if [ "$mode" = watch ] && list_changed; then
            kill "$client" 2>/dev/null
            wait "$client" 2>/dev/null
            client=''
            return "$LIST_CHANGED"
        fi
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
    pull "$1" || return $?
    locate "$1" # another case of letters may have been met
    if ! in_place "$manifest" -; then
        why="$1 is not whole after its pull" && return "$OTHER"
    fi
    if ! in_place "$manifest" "$2"; then
        why="digest differs for $1: the registry has $(digest_of "$manifest"), the file pins $2"
        # Nobody may be served what was not pinned. The blobs stay: a corrected pin costs one manifest.
        rm -f "$manifest"
        return "$WRONG_DIGEST"
    fi
}

# ------------------------------------------------------------------------------------------------- entries of the list

# The model behind FROM in Modelfile $1, nothing where it is a file.
from_model() {
    from=$(sed -n 's/^[Ff][Rr][Oo][Mm][[:space:]][[:space:]]*//p' "$1" | head -n 1 | tr -d '"\r' | sed 's/[[:space:]]*$//')
    case $from in /* | ./* | ../* | '~'* | *.gguf | *.safetensors) from='' ;; esac
    printf '%s' "$from"
}

# Whether a later entry makes model $1 again from itself, as it does for a context of its own.
overlaid() {
    overlaid_file=$(awk -F "$tab" -v name="$1" '$1 == "create" && $2 == name { print $3; exit }' "$work/list/models.tsv")
    [ -n "$overlaid_file" ] && [ -f "$work/list/$overlaid_file" ] || return 1
    overlaid_from=$(from_model "$work/list/$overlaid_file")
    [ -n "$overlaid_from" ] || return 1
    locate "$overlaid_from" && overlaid_path=$manifest
    locate "$1" && [ "$manifest" = "$overlaid_path" ]
}

# $record: where we note how the model of manifest file $1 was made. Beside the models, since it is true of them only.
record_of() { record=$store/ollama-fleet/created/${1#"$store/manifests/"}; }

# Whether what manifest file $1 holds was made by us from a Modelfile.
made_here() {
    record_of "$1"
    [ -s "$record" ] && [ -f "$1" ] && [ "$(cut -d ' ' -f 3 "$record")" = "$(digest_of "$1")" ]
}

copy_model() {
    ask 60 cp "$1" "$2" && return 0
    last_error
    copy_code=$(kind_of "$error")
    [ "$copy_code" -eq "$DISK_FULL" ] || [ "$copy_code" -eq "$NO_SERVER" ] || copy_code=$OTHER
    explain "$copy_code" "copy of $1 to $2" "$error"
    return "$copy_code"
}

bring_pull() { # NAME SOURCE DIGEST
    locate "$1" && target=$manifest
    locate "$2" && pulled=$manifest
    if [ "$pulled" != "$target" ]; then
        # Pulled from another registry: the registry's own name keeps it as it came, ours is a copy.
        in_place "$pulled" "$3" || pull_verified "$2" "$3" || return $?
        overlaid "$1" && return 0
        locate "$2" && [ "$(digest_of "$target")" = "$(digest_of "$manifest")" ] && return 0
        copy_model "${2#http://}" "$1"
        return $?
    fi
    original=$(as_pulled "$1")
    locate "$original" && kept=$manifest
    if overlaid "$1"; then
        in_place "$kept" "$3" && return 0
        if made_here "$target" || ! in_place "$target" "$3"; then pull_verified "$2" "$3" || return $?; fi
        copy_model "$1" "$original"
        return $?
    fi
    if made_here "$target"; then
        # A context was laid over it once and no longer is.
        if in_place "$kept" "$3"; then
            say "$1: back to what was pulled"
            copy_model "$original" "$1" || return $?
        else
            pull_verified "$2" "$3" || return $?
        fi
    elif ! in_place "$target" "$3"; then
        pull_verified "$2" "$3" || return $?
    fi
    # By its file, not by `ollama rm`, which would unload the runner that both names share. Its blobs are the model's own,
    # or the next start of a server prunes them.
    rm -f "$kept"
}

bring_create() { # NAME MODELFILE
    recipe=$work/list/$2
    [ -f "$recipe" ] || { why="$1: no file $2 in the list" && return "$WRONG_LIST"; }
    base=$(from_model "$recipe")
    base_digest=-
    cp "$recipe" "$work/Modelfile"
    if [ -n "$base" ]; then
        locate "$1" && target=$manifest
        locate "$base"
        if [ "$manifest" = "$target" ]; then
            # A model laid over itself: from what was pulled, kept by `bring_pull`, never from the last overlay.
            source=$(awk -F "$tab" -v name="$1" '$1 == "pull" && $2 == name { print $3; exit }' "$work/list/models.tsv")
            locate "${source:-$1}"
            if [ "$manifest" = "$target" ]; then base=$(as_pulled "$1"); else base=${source#http://}; fi
            awk -v from="FROM $base" '!done && tolower($1) == "from" { print from; done = 1; next } { print }' \
                "$recipe" >"$work/Modelfile"
        elif ! in_place "$manifest" -; then
            # `create` would pull it too, but without retries, verification or plain HTTP.
            pull_verified "$base" - || return $?
        fi
        locate "$base" && base_digest=$(digest_of "$manifest")
    fi
    locate "$1" && target=$manifest
    record_of "$target"
    recipe_digest=$(digest_of "$recipe")
    if made_here "$target" && in_place "$target" - && [ "$(cut -d ' ' -f 1,2 "$record")" = "$recipe_digest $base_digest" ]; then
        return 0
    fi
    say "$1: creating from its Modelfile"
    brought=$((brought + 1))
    if ! ask 600 create "$1" -f "$work/Modelfile"; then
        last_error
        create_code=$(kind_of "$error")
        case $ask_status:$create_code in
        124:*) create_code=$OTHER error="not done within 600 s" ;;
        *:"$DISK_FULL" | *:"$NO_SERVER") ;;
        *) create_code=$WRONG_MODELFILE ;;
        esac
        explain "$create_code" "$1" "$error"
        [ "$create_code" -ne "$WRONG_MODELFILE" ] || why="Modelfile wrong for $1: $error"
        return "$create_code"
    fi
    locate "$1" && target=$manifest
    record_of "$target"
    mkdir -p "${record%/*}" && printf '%s %s %s\n' "$recipe_digest" "$base_digest" "$(digest_of "$target")" >"$record.new" &&
        mv "$record.new" "$record" && return 0
    why="cannot write $record" && return "$DISK_FULL"
}

bring_copy() { # NAME SOURCE
    locate "$1" && target=$manifest
    locate "$2"
    in_place "$manifest" - || { why="$1 is a copy of $2, which is not here" && return "$NO_SOURCE"; }
    [ "$(digest_of "$target")" != "$(digest_of "$manifest")" ] || return 0
    say "$1: copying $2"
    brought=$((brought + 1))
    copy_model "$2" "$1"
}

# One entry into place, verified.
bring() { # ACTION NAME SOURCE DIGEST
    bring_before=$brought
    case $1 in
    pull) bring_pull "$2" "$3" "$4" ;;
    create) bring_create "$2" "$3" ;;
    copy) bring_copy "$2" "$3" ;;
    *) why="models.tsv has the action '$1', not pull, create or copy" && return "$WRONG_LIST" ;;
    esac || return $?
    [ "$brought" -gt "$bring_before" ] || return 0
    locate "$2"
    if [ "$1" = pull ] && overlaid "$2"; then return 0; fi # its create verifies it
    if ! in_place "$manifest" - || ! ask 60 show "$2"; then
        last_error
        explain "$OTHER" "verification of $2" "$error"
        return "$OTHER"
    fi
    say "$2: in place"
}

# Every entry of the snapshot. In init the first failure ends it; in watch the others still get their turn.
bring_all() {
    all_code=0
    while IFS=$tab read -r action name source digest <&3 || [ -n "${action:-}" ]; do
        [ -n "$action" ] || continue
        if [ "$mode" = watch ]; then deadline=$(($(now) + ${PULL_DEADLINE:-3600})); fi
        bring "$action" "$name" "$source" "${digest:--}"
        one_code=$?
        [ "$one_code" -ne 0 ] || continue
        all_code=$one_code
        if [ "$mode" = init ] || [ "$one_code" -eq "$LIST_CHANGED" ]; then break; fi
        say "$why"
    done 3<"$work/list/models.tsv"
    return "$all_code"
}

# ---------------------------------------------------------------------------------------------------------- the list

# The kubelet swaps the symlink ..data to a new folder; within one such folder all files belong together.
inside_definitions() { cd -P "$definitions/..data" 2>/dev/null || cd -P "$definitions" || return 1; }

fingerprint() { sha256sum -- * 2>/dev/null | sha256sum | cut -c 1-64; }

# Copies the list to $work/list, so that one pass sees one list. $listed: its fingerprint.
snapshot() {
    rm -rf "$work/list"
    mkdir "$work/list" || return 1
    (inside_definitions && cp -L -- * "$work/list/") 2>/dev/null || return 1
    [ -f "$work/list/models.tsv" ] || return 1
    listed=$(cd "$work/list" && fingerprint)
}

list_changed() { [ "$(inside_definitions 2>/dev/null && fingerprint)" != "$listed" ]; }

# ------------------------------------------------------------------------------------------------------------- modes

stop_server() {
    [ -n "$server" ] || return 0
    kill "$server" 2>/dev/null
    stop_ticks=0
    while kill -0 "$server" 2>/dev/null; do
        stop_ticks=$((stop_ticks + 1))
        [ "$stop_ticks" -lt 50 ] || kill -KILL "$server" 2>/dev/null
        sleep 0.2
    done
    wait "$server" 2>/dev/null
    server=''
}

# Ends what was started and leaves with code $1.
leave() {
    trap '' TERM INT
    [ -z "$sleeper" ] || kill "$sleeper" 2>/dev/null
    [ -z "$client" ] || { kill "$client" 2>/dev/null && wait "$client" 2>/dev/null; }
    stop_server
    [ -z "$work" ] || rm -rf "$work"
    exit "$1"
}

fail() { # CODE, with $why
    say "failed: $why"
    fail_line=$(printf '%s' "$why" | tr -s '[:cntrl:]' ' ' | cut -c 1-1000)
    { printf '%s\n' "$fail_line" >"$termination_log"; } 2>/dev/null || say "cannot write $termination_log"
    leave "$1"
}

begin() {
    umask 022
    work=$(mktemp -d "${TMPDIR:-/tmp}/prepare.XXXXXX") || exit "$OTHER"
}

start_server() {
    if ! mkdir -p "$store/blobs" "$store/manifests"; then
        why="cannot write $store: $(df -P "$store" 2>/dev/null | awk 'NR == 2 { print $4 " KiB free" }')" && return "$DISK_FULL"
    fi
    # Without this it would be taken for ours, and models would be brought into somebody else's server.
    if answers; then why="another server answers at $OLLAMA_HOST" && return "$NO_SERVER"; fi
    ollama serve >"$work/server.log" 2>&1 &
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

init() {
    trap 'why="stopped by a signal"; fail "$STOPPED"' TERM INT
    begin
    started=$(now)
    deadline=$((started + ${PULL_DEADLINE:-3600}))
    # Reachable by nobody else, whatever the server's own setting is; and a start that prunes would drop partial downloads.
    export OLLAMA_HOST="127.0.0.1:$port" OLLAMA_NOPRUNE=1
    snapshot || { why="no models.tsv in $definitions" && fail "$WRONG_LIST"; }
    if [ -s "$work/list/models.tsv" ]; then
        start_server || fail $?
        bring_all || fail $?
    fi
    say "$(grep -c "$tab" "$work/list/models.tsv") entries in place, $brought of them new, in $(($(now) - started)) s"
    leave 0
}

watch() {
    trap 'leave 0' TERM INT
    begin
    # A fault may pass at any time: the rounds below are the retries.
    tries=1
    waiting='' listed='' again_at=0 again_pause=$first_pause
    while :; do
        if list_changed; then again_at=1 again_pause=$first_pause; fi
        if [ "$again_at" -gt 0 ] && [ "$(now)" -ge "$again_at" ]; then
            if ! answers; then
                [ -n "$waiting" ] || say "waiting for the server at $address"
                waiting=yes
            elif snapshot; then
                waiting=''
                before_round=$brought
                bring_all
                case $? in
                0)
                    again_at=0 again_pause=$first_pause
                    say "the list is in place, $((brought - before_round)) new"
                    ;;
                "$LIST_CHANGED") continue ;;
                *)
                    say "again in $again_pause s"
                    again_at=$(($(now) + again_pause)) again_pause=$((again_pause * 2))
                    [ "$again_pause" -le 300 ] || again_pause=300
                    ;;
                esac
            fi
        fi
        pause "${WATCH_SECONDS:-5}"
    done
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

usage() {
    echo "usage: prepare.sh init | watch | drain LIMIT" >&2
    exit 2
}

case $mode in
init) init ;;
watch) watch ;;
drain)
    case ${2:-} in '' | *[!0-9]*) usage ;; esac
    drain "$2"
    ;;
*) usage ;;
esac
