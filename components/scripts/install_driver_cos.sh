# Installs the planned NVIDIA driver on Container-Optimized OS, once: a loaded module is left alone, since it cannot be
# replaced while it is in use. Follows Google's own DaemonSet (GoogleCloudPlatform/container-engine-accelerators).
set -eu
if lsmod | grep -q '^nvidia '; then
  echo "an nvidia module is loaded already: nothing to install"
else
  echo "installing $DRIVER_REQUEST"
  /cos-gpu-installer install --version="$DRIVER_REQUEST"
fi
# the libraries are read by containers of other users
chmod 755 /root/home/kubernetes/bin/nvidia
