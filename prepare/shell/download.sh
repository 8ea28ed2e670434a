# shellcheck shell=sh
# Weights at a URL. The stock image has no curl; openssl is there, its CA certificates ask for it (Ollama's Dockerfile
# installs ca-certificates on Ubuntu, whose package depends on openssl; read 2026-11-21).

# Brings what is at $1 with the sha256 $2 into the store's blobs, where `create` takes it from without a copy. What has
# come of an interrupted download is kept, and asked for no second time.
download() { # URL SHA256
    weights=$store/blobs/sha256-$2
    case $2 in -) why="$1 has no digest that it could be held against" && return "$WRONG_LIST" ;; esac
    if [ -f "$weights" ] && [ "$(digest_of "$weights")" = "$2" ]; then return 0; fi
    command -v openssl >/dev/null || { why="$1 cannot be fetched: this image has no openssl" && return "$OTHER"; }
    part=$notes/downloads/$2
    if ! mkdir -p "$store/blobs" "$notes/downloads" || ! : >>"$part"; then why="cannot write $part" && return "$DISK_FULL"; fi
    trusted_certificates
    say "$1: downloading"
    fetch_try=1 fetch_pause=$first_pause fetch_code=$DEADLINE error='nothing has come'
    until fetch "$1"; do
        case $fetch_code in
        "$LIST_CHANGED") why="$1: the list changed, starting over" && return "$LIST_CHANGED" ;;
        "$NO_ROOM") return "$DISK_FULL" ;;
        "$UNKNOWN_MODEL") why="there is nothing at $1: $error" && return "$UNKNOWN_MODEL" ;;
        esac
        explain "$fetch_code" "$1" "$error"
        case $fetch_code in "$DISK_FULL" | "$DENIED" | "$DEADLINE") return "$fetch_code" ;; esac
        [ "$fetch_try" -lt "$tries" ] || return "$fetch_code"
        say "try $fetch_try of $tries: $why; again in $fetch_pause s"
        pause "$fetch_pause"
        fetch_try=$((fetch_try + 1)) fetch_pause=$((fetch_pause * 2))
    done
    if [ "$(digest_of "$part")" != "$2" ]; then
        why="digest differs for $1: it has $(digest_of "$part"), the file pins $2"
        rm -f "$part"
        return "$WRONG_DIGEST"
    fi
    mv "$part" "$weights"
}

# The system's and those of a proxy, in one file: openssl wants a folder's files to be named by their hashes.
trusted_certificates() {
    cat /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt "${SSL_CERT_DIR:-/nowhere}"/*.pem \
        >"$work/trusted.pem" 2>/dev/null
}

# One try, over redirects. Fails with $fetch_code and $error.
fetch() { # URL
    fetch_url=$1 fetch_hops=0
    while :; do
        case $fetch_url in
        https://*) ;;
        *) fetch_code=$OTHER error="it leads to ${fetch_url%%[?]*}, which is not https" && return 1 ;;
        esac
        ask_for "$fetch_url" || return 1
        status=$(sed -n '1s|^HTTP/[0-9.]* \([0-9][0-9][0-9]\).*|\1|p' "$work/headers")
        case $status in
        200 | 206) whole && return 0 || return 1 ;;
        416) return 0 ;; # nothing is left to ask for
        301 | 302 | 303 | 307 | 308) ;;
        401 | 403) fetch_code=$DENIED error="HTTP $status" && return 1 ;;
        404 | 410) fetch_code=$UNKNOWN_MODEL error="HTTP $status" && return 1 ;;
        *) fetch_code=$NOT_REACHABLE error="${status:+HTTP }${status:-no answer}" && return 1 ;;
        esac
        fetch_hops=$((fetch_hops + 1))
        [ "$fetch_hops" -le 5 ] || { fetch_code=$NOT_REACHABLE error="it is redirected without end" && return 1; }
        location=$(header location)
        case $location in
        /*) fetch_url=https://$(authority "$fetch_url")$location ;;
        *) fetch_url=$location ;;
        esac
    done
}

authority() {
    authority_rest=${1#https://}
    printf '%s' "${authority_rest%%[/?#]*}"
}

# A header of the last answer.
header() {
    awk -v name="$1" 'NR > 1 { at = index($0, ":"); if (tolower(substr($0, 1, at - 1)) == name) {
        value = substr($0, at + 1); gsub(/^[ \t]+|[ \t]+$/, "", value); print value; exit } }' "$work/headers"
}

# How long the whole file is, as far as the last answer tells; else nothing. Digits only, since it is reckoned with.
whole_length() {
    case $(sed -n 1p "$work/headers" 2>/dev/null) in
    *' 206'*) header content-range ;;
    *' 200'*) header content-length ;;
    esac | sed -n 's|^\(.*/\)\{0,1\}\([1-9][0-9]\{0,14\}\)$|\2|p'
}

whole() {
    expected=$(whole_length)
    [ "$(wc -c <"$part")" -ge "${expected:-0}" ] && return 0
    fetch_code=$NOT_REACHABLE error="EOF after $(wc -c <"$part") of $expected bytes"
    return 1
}

# One request for what $part lacks: its headers into $work/headers, its body behind $part.
ask_for() { # URL
    fetch_left=$((deadline - $(now)))
    if [ "$fetch_left" -le 0 ]; then fetch_code=$DEADLINE && return 1; fi
    host=$(authority "$1")
    host_path=${1#"https://$host"}
    host_path=${host_path%%#*}
    case $host_path in /*) ;; *) host_path=/$host_path ;; esac
    printf 'GET %s HTTP/1.0\r\nHost: %s\r\nAccept: */*\r\nUser-Agent: ollama-fleet\r\nRange: bytes=%s-\r\n\r\n' \
        "$host_path" "$host" "$(wc -c <"$part" | tr -d ' ')" >"$work/request"
    host_name=${host%%:*} host_port=${host#"${host%%:*}"}
    case $host_name in
    *[!0-9.]*) set -- -servername "$host_name" -verify_hostname "$host_name" ;;
    *) set -- -verify_ip "$host_name" ;;
    esac
    set -- s_client -quiet -connect "$host_name${host_port:-:443}" "$@" -verify_return_error -CAfile "$work/trusted.pem"
    if proxied "$host_name"; then
        proxy_address=${HTTPS_PROXY#*://}
        set -- "$@" -proxy "${proxy_address%%/*}"
    fi
    rm -f "$work/reply" "$work/headers"
    mkfifo "$work/reply" || return 1
    timeout --foreground -k 5 "$fetch_left" openssl "$@" <"$work/request" >"$work/reply" 2>"$work/tls" 9>&- &
    client=$!
    receive <"$work/reply" 2>"$work/disk" 9>&- &
    receiver=$!
    attend "$host" || return 1
    wait "$client"
    fetch_status=$?
    client=''
    wait "$receiver"
    case $fetch_status in 124 | 137) fetch_code=$DEADLINE error="$(wc -c <"$part") bytes have come" && return 1 ;; esac
    if [ -s "$work/disk" ]; then fetch_code=$DISK_FULL error=$(tail -n 1 "$work/disk") && return 1; fi
    [ -s "$work/headers" ] && return 0
    # what openssl says first is the cause, and its number means nothing to anybody
    error=$(grep -iE 'verify error|failed|refused|lookup|errno|unreachable|alert' "$work/tls" | head -n 1 |
        sed 's/^[0-9A-F]*:error:[0-9A-F]*://' | cut -c 1-300)
    error=${error:-no answer}
    fetch_code=$(kind_of "$error")
    [ "$fetch_code" -ne "$OTHER" ] || fetch_code=$NOT_REACHABLE
    return 1
}

# Until the answer has ended: progress, room on the disk, and a look at the list.
attend() { # HOST
    attend_ticks=0 attend_before=$(wc -c <"$part")
    while kill -0 "$client" 2>/dev/null; do
        attend_ticks=$((attend_ticks + 1))
        if [ "$attend_ticks" -le 30 ]; then pause 0.1; else pause 1; fi
        attend_whole=$(whole_length)
        attend_here=$(wc -c <"$part")
        if [ $(((${attend_whole:-0} - attend_here) / 1024)) -gt "$(free_space)" ]; then
            why="disk full at $store: $1 still has $(((attend_whole - attend_here) / 1000000)) MB to send, more than is free"
            fetch_code=$NO_ROOM && stop_client && return 1
        fi
        if [ "$attend_ticks" -lt 30 ] || [ $((attend_ticks % 5)) -ne 0 ]; then continue; fi
        if [ "${attend_whole:-0}" -gt 0 ]; then
            say "$1: $((attend_here * 100 / attend_whole)) %, $(((attend_here - attend_before) / 5000000)) MB/s"
        fi
        attend_before=$attend_here
        if [ "$mode" = watch ] && list_changed; then fetch_code=$LIST_CHANGED && stop_client && return 1; fi
    done
}

receive() {
    carriage_return=$(printf '\r')
    while IFS= read -r reply_line; do
        reply_line=${reply_line%"$carriage_return"}
        [ -n "$reply_line" ] || break
        printf '%s\n' "$reply_line"
    done >"$work/headers.new"
    mv "$work/headers.new" "$work/headers"
    case $(sed -n 1p "$work/headers") in
    *' 206'*) cat >>"$part" ;;
    *' 200'*) cat >"$part" ;; # it begins anew
    *) cat >/dev/null ;;
    esac
}

# Whether the proxy is asked for host $1.
proxied() {
    [ -n "${HTTPS_PROXY:-}" ] || return 1
    for proxied_not in $(printf '%s' "${NO_PROXY:-}" | tr ',' ' '); do
        case .$1 in *".${proxied_not#.}") return 1 ;; esac
    done
}
