# shellcheck shell=sh
# What the server's probes ask. The startup probe proves once that the models run on the GPU; the readiness probe asks
# that they are there. A probe runs in the server's own container: only that one sees the GPU.

# Below this driver (first word) the image leaves the card out or fails, from the Ollama of the second word on.
floor=${FLEET_DRIVER_FLOOR:-}

# What nvidia-smi has to say about it, in a few words.
driver_words() {
    if ! command -v nvidia-smi >/dev/null; then
        echo "there is no nvidia-smi here, so no driver is mounted into the container"
        return
    fi
    if ! smi=$(timeout 10 nvidia-smi --query-gpu=driver_version,memory.used,memory.total \
        --format=csv,noheader,nounits 2>&1); then
        printf 'nvidia-smi says: %s\n' "$(printf '%s' "$smi" | tr -s '[:space:]' ' ' | cut -c 1-200)"
        return
    fi
    smi_driver=$(printf '%s\n' "$smi" | sed -n '1s/,.*//p')
    case $smi_driver in
    [0-9]*) ;;
    *)
        printf 'nvidia-smi says: %s\n' "$(printf '%s' "$smi" | head -n 1 | cut -c 1-200)"
        return
        ;;
    esac
    if [ -n "$floor" ] && [ "${smi_driver%%.*}" -lt "${floor%% *}" ]; then
        echo "driver $smi_driver is below ${floor%% *} (Ollama ${floor#* }+)"
        return
    fi
    # without a floor nobody knows whether it is
    printf 'driver %s%s, GPU memory in use: %s\n' "$smi_driver" "${floor:+ is new enough}" \
        "$(printf '%s\n' "$smi" | awk -F ', *' '{ printf "%s%s of %s MiB", separator, $2, $3; separator = ", " }')"
}

# Whether a model that is loaded runs partly on the CPU; then $why.
spilled() {
    ask 10 ps || return 1
    spilled_line=$(plain | grep -E '[1-9][0-9]*%(/[0-9]+%)? CPU' | head -n 1)
    [ -n "$spilled_line" ] || return 1
    why="model ${spilled_line%% *} runs $(printf '%s' "$spilled_line" | sed -E 's|.*[^0-9/]([0-9]+)%(/[0-9]+%)? CPU.*|\1|') % on the CPU"
}

# The verdict on the GPU: 0 proven, 1 not known yet, 2 refuted. $why says it.
prove() {
    if grep -qE 'device kernel image is invalid|no kernel image is available' "$state/server.log"; then
        why="every request fails with \"CUDA error: device kernel image is invalid\": $(driver_words)" && return 2
    fi
    compute=$(sed -n 's/.*inference compute.*library=\([^ ]*\).*/\1/p' "$state/server.log" | tr -d '"' | tr '[:upper:]' '[:lower:]' | sort -u | tr '\n' ' ')
    case $compute in
    *cuda*) ;;
    '') why="the server has not said yet what it runs on" && return 1 ;;
    *vulkan*) why="Ollama drives the GPU through Vulkan, slowly or not at all, instead of CUDA: $(driver_words)" && return 2 ;;
    *) why="every model would run on the CPU, Ollama found no GPU (library=${compute% }): $(driver_words)" && return 2 ;;
    esac
    if [ ! -s "$state/warm" ] && [ -s "$state/started" ]; then why="the models are being loaded" && return 1; fi
    refused=$(awk -F "$tab" '$1 == "failed" { print $2 ": " $3; exit }' "$state/warm" 2>/dev/null)
    [ -z "$refused" ] || { why="model ${refused%%: *} does not load: ${refused#*: }: $(driver_words)" && return 2; }
    if spilled; then why="$why: $(driver_words)" && return 2; fi
    return 0
}

# The startup probe.
started() {
    trap 'leave 1' TERM INT
    begin
    answers || { say "the server does not answer yet" && leave 1; }
    [ "${FLEET_PROOF:-none}" != none ] || leave 0
    prove
    case $? in
    0) { : >"$termination_log"; } 2>/dev/null; leave 0 ;;
    1) say "$why" ;;
    *)
        say "not ready: $why"
        last_words "$why"
        # the probe's own output reaches the events of the pod, this its log
        { say "not ready: $why" >/proc/1/fd/1; } 2>/dev/null
        ;;
    esac
    leave 1
}

# The readiness probe. A model that is not loaded makes no pod unready: a request loads it.
ready() {
    trap 'leave 1' TERM INT
    begin
    answers || { say "the server does not answer" && leave 1; }
    plain | awk 'NR > 1 { print $1 }' >"$work/names"
    missing=$(grep -vxF -f "$work/names" "$state/started" 2>/dev/null | head -n 1)
    [ -z "$missing" ] || { say "not ready: model $missing is not listed" && leave 1; }
    if [ "${FLEET_PROOF:-none}" = always ] && spilled; then say "not ready: $why" && leave 1; fi
    leave 0
}

# The health check of Docker, which knows no startup probe: both in one.
healthy() {
    if [ ! -f "$state/proven" ]; then
        (started) || exit 1
        : >"$state/proven"
    fi
    ready
}
