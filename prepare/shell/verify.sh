# shellcheck shell=sh
# Whether the machine has what the plan reckons with: the loaded driver, the GPUs, the container runtime, the devices of
# unified memory. It changes nothing, and says of everything that differs both values and the command that mends it.

cards=${FLEET_CARDS:-}            # "2|K80|Tesla K80|102d;...": how many, title, name as nvidia-smi has it (ERE, ! for |), PCI ids
driver_wanted=${FLEET_DRIVER:-}   # "470." for a beginning, "550-" or "570-580" for branches
driver_log=${FLEET_DRIVER_LOG:-}  # the command that shows why a driver in a container is not there
modules=${FLEET_MODULES:-}        # proprietary or open, where only one flavour knows the cards
uvm=${FLEET_UVM:-}                # not empty: /dev/nvidia-uvm* have to be there
runtime=${FLEET_RUNTIME:-}        # docker: the runtime brings the driver into containers
machine=${FLEET_MACHINE:-}        # where the machine's own /dev and /usr are mounted, when it is not the server that asks
proc=${FLEET_PROC:-/proc}
sys=${FLEET_SYS:-/sys}
faults=''

differs() { # WHAT IS, WHAT IS PLANNED, WHAT MENDS IT
    faults="$faults${faults:+; }$1, planned: $2 -> $3"
}

# The branch that a remedy installs.
branch_to_install() {
    case $driver_wanted in
    *-?*) echo "${driver_wanted#*-}" ;;
    *) echo "$driver_wanted" | sed 's/[.-].*//' ;;
    esac
}

install_driver() {
    if [ -n "$driver_log" ]; then
        echo "$driver_log says why it is not there; the machine itself must have no driver"
        return
    fi
    flavour=''
    [ "$modules" != open ] || flavour=-open
    echo "sudo apt-get install nvidia-driver-$(branch_to_install)$flavour, then sudo reboot"
}

# How many of the cards that nvidia-smi lists ("102d Tesla K80") have the name $1 or one of the ids $2.
seen_by_smi() {
    printf '%s\n' "$smi_cards" | grep -c -x -E "[0-9a-f]* ($(printf '%s' "$1" | tr '!' '|'))|($(printf '%s' "${2:-none}" | tr ',' '|')) .*"
}

# The device ids of NVIDIA's display controllers, one a line.
pci_ids() {
    if command -v lspci >/dev/null; then
        lspci -n -d 10de: 2>/dev/null | sed -n 's/.* 03[0-9a-f]*: 10de:\([0-9a-f]\{4\}\).*/\1/p'
        return
    fi
    for pci in "$sys"/bus/pci/devices/*; do
        [ "$(cat "$pci/vendor" 2>/dev/null)" = 0x10de ] || continue
        case $(cat "$pci/class" 2>/dev/null) in 0x03*) sed 's/^0x//' "$pci/device" ;; esac
    done
}

# $loaded: the version of the loaded driver, nothing where none is. $open: not empty for open kernel modules.
find_driver() {
    loaded='' open='' smi_cards='' smi_error=''
    version_file=$proc/driver/nvidia/version
    if [ -r "$version_file" ]; then
        loaded=$(sed -n 's/^NVRM version: .* \([0-9][0-9]*\.[0-9.]*[0-9]\) .*$/\1/p' "$version_file")
        ! grep -q 'Open Kernel Module' "$version_file" || open=yes
    fi
    command -v nvidia-smi >/dev/null || return 0
    if smi=$(timeout 20 nvidia-smi --query-gpu=driver_version,pci.device_id,name --format=csv,noheader 2>&1); then
        case $smi in
        [0-9]*)
            loaded=$(printf '%s\n' "$smi" | sed -n '1s/,.*//p')
            smi_cards=$(printf '%s\n' "$smi" |
                awk -F ', *' '{ print tolower(substr($2, 3, 4)) " " $3 }')
            ;;
        *) smi_error=$(printf '%s' "$smi" | head -n 1 | cut -c 1-200) ;;
        esac
    else
        smi_error=$(printf '%s' "$smi" | tr -s '[:space:]' ' ' | cut -c 1-200)
    fi
}

verify_driver() {
    if [ -z "$loaded" ]; then
        if [ -z "$(pci_ids)" ]; then
            differs "there is no NVIDIA card on the PCI bus" "$(planned_cards)" "seat and power the card, then look at: lspci -d 10de:"
        elif [ -e "$sys/module/nouveau" ]; then
            differs "nouveau drives the card" "NVIDIA's driver $driver_wanted" \
                "echo 'blacklist nouveau' | sudo tee /etc/modprobe.d/no-nouveau.conf, sudo update-initramfs -u, $(install_driver)"
        else
            differs "no NVIDIA driver is loaded" "driver $driver_wanted" "$(install_driver)"
        fi
        return 1
    fi
    case $smi_error in
    *'version mismatch'*)
        differs "the loaded driver is $loaded and its programs are of another version" "one version of both" "sudo reboot"
        return 1
        ;;
    esac
    if ! driver_fits; then
        differs "driver $loaded is loaded" "driver $driver_wanted" "$(install_driver)"
    fi
    case $modules:$open in
    proprietary:yes) differs "the open kernel modules are loaded" "the proprietary ones, which alone know $(planned_cards)" "$(install_driver)" ;;
    open:) [ ! -r "$proc/driver/nvidia/version" ] ||
        differs "the proprietary kernel modules are loaded" "the open ones, which alone know $(planned_cards)" "$(install_driver)" ;;
    esac
}

driver_fits() {
    major=${loaded%%.*}
    case $driver_wanted in
    '') return 0 ;;
    *-*)
        [ "$major" -ge "${driver_wanted%-*}" ] || return 1
        [ -z "${driver_wanted#*-}" ] || [ "$major" -le "${driver_wanted#*-}" ]
        ;;
    *) case $loaded in "$driver_wanted"*) return 0 ;; *) return 1 ;; esac ;;
    esac
}

planned_cards() { printf '%s\n' "$cards" | tr ';' '\n' | awk -F '|' '{ printf "%s%s x %s", separator, $1, $2; separator = ", " }'; }

# Each kind of card as often as planned: a driver that is too new leaves an old card out without a word.
verify_cards() {
    on_bus=$(pci_ids)
    printf '%s\n' "$cards" | tr ';' '\n' >"$work/cards"
    while IFS='|' read -r count title product ids <&3; do
        [ -n "$count" ] || continue
        if [ -n "$smi_cards" ]; then
            found=$(seen_by_smi "$product" "$ids")
            what="nvidia-smi shows $found x $title ($(printf '%s\n' "$smi_cards" | cut -d ' ' -f 2- | sort | uniq -c | sed 's/^ *//' | tr '\n' ',' | sed 's/,$//; s/,/, /g'))"
        elif [ -n "$smi_error" ]; then
            found=0 what="nvidia-smi says: $smi_error"
        elif [ -n "$ids" ] && [ -n "$on_bus" ]; then
            found=$(printf '%s\n' "$on_bus" | grep -c -x -E "$(printf '%s' "$ids" | tr ',' '|')")
            what="the PCI bus shows $found x $title"
        else
            continue # neither tells
        fi
        [ "$found" -ge "$count" ] ||
            differs "$what" "$count x $title" "sudo dmesg | grep NVRM says why; else write at the site's nodes what is there"
    done 3<"$work/cards"
}

verify_runtime() {
    [ "$runtime" = docker ] || return 0
    mend="sudo apt-get install nvidia-container-toolkit, sudo nvidia-ctk runtime configure --runtime=docker, sudo systemctl restart docker"
    if [ -z "$machine" ]; then
        command -v nvidia-smi >/dev/null || differs "no driver reaches this container, nvidia-smi is not in it" "the NVIDIA container runtime" "$mend"
        return 0
    fi
    for program in nvidia-container-runtime nvidia-container-cli nvidia-ctk; do
        [ ! -e "$machine/usr/bin/$program" ] || return 0
    done
    differs "the machine has no NVIDIA container runtime" "nvidia-container-toolkit" "$mend"
}

verify_uvm() {
    [ -n "$uvm" ] || return 0
    for device in nvidia-uvm nvidia-uvm-tools; do
        if [ ! -e "$machine${FLEET_DEV:-/dev}/$device" ]; then
            differs "/dev/$device is not there" "the devices of unified memory" \
                "sudo nvidia-modprobe -u -c=0, and at each start of the machine: echo nvidia-uvm | sudo tee /etc/modules-load.d/nvidia-uvm.conf"
            return 0
        fi
    done
}

# 0 where the machine is as planned, else 1 with all that differs in $why.
fits() {
    [ -n "$cards" ] || return 0
    find_driver
    if verify_driver; then
        verify_cards
        verify_runtime
        verify_uvm
    fi
    [ -n "$faults" ] || return 0
    why=$faults
    return 1
}

verify() {
    trap 'leave 1' TERM INT
    begin
    fits || fail "$UNFIT"
    if [ -z "$cards" ]; then say "no GPU is planned here"; else say "driver $loaded and $(planned_cards), as planned"; fi
    leave 0
}
