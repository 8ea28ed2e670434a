# shellcheck shell=sh
# Exit codes of init, and the one line that says what went wrong.

# 1 and 2 stay the shell's own, 126 and above too.
readonly NOT_REACHABLE=10 NAME_RESOLUTION=11 TLS=12 DENIED=13 UNKNOWN_MODEL=14 DISK_FULL=15 TOO_OLD=16 WRONG_DIGEST=17
readonly WRONG_MODELFILE=18 DEADLINE=19 NO_SERVER=20 WRONG_LIST=21 NO_SOURCE=22 UNFIT=23 OTHER=29 STOPPED=143
# Not exit codes: the list changed while a model was on its way; the disk cannot hold it.
readonly LIST_CHANGED=99 NO_ROOM=98

# The exit code for what the client said. Texts of Go's net, crypto/x509 and os packages and of Ollama's server/images.go.
kind_of() {
    case $1 in
    *'o space left on device'* | *'quota exceeded'*) echo "$DISK_FULL" ;;
    *'manifest: 412'* | *'newer version of Ollama'*) echo "$TOO_OLD" ;;
    *proxyconnect* | *'CONNECT failed'* | *'Proxy Authentication Required'* | *': Forbidden' | *': Bad Gateway') echo "$TLS" ;;
    *x509:* | *tls:* | *certificate* | *'verify error'* | *'HTTP response to HTTPS client'*) echo "$TLS" ;;
    *'no such host'* | *'dial tcp: lookup '* | *'name resolution'* | *'ame or service not known'* | \
        *BIO_lookup*) echo "$NAME_RESOLUTION" ;;
    *': 401'* | *': 403'* | *'realm host'* | *unauthorized* | *'access denied'*) echo "$DENIED" ;;
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
    "$TLS")
        case $3 in
        *x509:* | *tls:* | *certificate* | *'verify error'* | *'HTTP response'*) ;;
        *) why="the proxy does not let $2 through: $3" && return ;;
        esac
        why="TLS to the registry failed for $2 (a proxy's CA missing, or plain HTTP without http://): $3"
        ;;
    "$DENIED") why="the registry refuses $2: $3" ;;
    "$UNKNOWN_MODEL") why="the registry does not know $2: check its name and tag" ;;
    "$DISK_FULL") why="disk full at $store while bringing $2: $3" ;;
    "$TOO_OLD") why="this Ollama is too old for $2, use a newer image: $3" ;;
    "$DEADLINE") why="$2 was not here within the pull deadline of ${PULL_DEADLINE:-3600} s: $3" ;;
    "$NO_SERVER") why="the Ollama server does not answer, wanted for $2: $3" ;;
    *) why="$2 failed: $3" ;;
    esac
}
