# The installer is content with any loaded module, so the version is compared here: a card that runs on another driver
# than the planned one may fall to the CPU without a word.
set -eu
version_file=${DRIVER_VERSION_FILE:-/proc/driver/nvidia/version}
fail() {
  echo "$1" | tee "${TERMINATION_LOG:-/dev/termination-log}" >&2
  exit 1
}
waited=0
until [ -r "$version_file" ]; do
  [ "$waited" -lt "$DRIVER_WAIT_SECONDS" ] || fail "no NVIDIA driver is loaded on this node; planned: $DRIVER_EXPECTED"
  sleep 5
  waited=$((waited + 5))
done
loaded=$(sed -n 's/^NVRM version: .* \([0-9][0-9]*\.[0-9.]*[0-9]\) .*$/\1/p' "$version_file")
case "$loaded" in
  "$DRIVER_EXPECTED"*) echo "driver $loaded is loaded, as planned ($DRIVER_EXPECTED)" ;;
  *) fail "driver $loaded is loaded, and $DRIVER_EXPECTED is planned: delete this node, so that a new one gets it" ;;
esac
