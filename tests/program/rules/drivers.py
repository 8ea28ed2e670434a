"""Rules about the DaemonSets that install and verify NVIDIA's driver."""

from tests.program.rules.view import DAEMON_SET, GPU, POOL_KEY, QUOTA, Complaints, View, at, expect, rule

COS = {
    "cos-tools": ("/var/lib/cos-tools", "/build/cos-tools"),
    "dev": ("/dev", "/dev"),
    "nvidia": ("/home/kubernetes/bin/nvidia", "/usr/local/nvidia"),
    "root": ("/", "/root"),
    "vulkan": ("/home/kubernetes/bin/nvidia/vulkan/icd.d", "/etc/vulkan/icd.d"),
}
UBUNTU = {"boot": ("/boot", "/boot"), "dev": ("/dev", "/dev"), "root": ("/", "/root")}
COS_ENVIRONMENT = {
    "NVIDIA_INSTALL_DIR_HOST": "/home/kubernetes/bin/nvidia",
    "NVIDIA_INSTALL_DIR_CONTAINER": "/usr/local/nvidia",
    "VULKAN_ICD_DIR_HOST": "/home/kubernetes/bin/nvidia/vulkan/icd.d",
    "VULKAN_ICD_DIR_CONTAINER": "/etc/vulkan/icd.d",
    "ROOT_MOUNT_DIR": "/root",
    "COS_TOOLS_DIR_HOST": "/var/lib/cos-tools",
    "COS_TOOLS_DIR_CONTAINER": "/build/cos-tools",
}


@rule
def a_driver_goes_to_the_nodes_of_its_pool_whatever_taints_they_have(view: View) -> Complaints:
    for pod, pool in view.drivers:
        if pod.spec.get("tolerations") != [{"operator": "Exists"}]:
            yield f"{pod.name} is kept away by a taint"
        terms = at(pod.spec, "affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms")
        ours = {"key": POOL_KEY, "operator": "In", "values": [pool.name]}
        not_googles = {"key": "cloud.google.com/gke-gpu-driver-version", "operator": "DoesNotExist"}
        wanted = [ours] if pool.driver.mode == "gke" else [ours, not_googles]
        if terms != [{"matchExpressions": wanted}]:
            yield f"{pod.name} goes to {terms}"


@rule
def a_driver_pod_is_one_of_the_nodes_own_and_may_be_by_a_quota(view: View) -> Complaints:
    for pod, _ in view.drivers:
        for key, value in (
            ("priorityClassName", "system-node-critical"),
            ("hostNetwork", True),
            ("hostPID", True),
            ("automountServiceAccountToken", False),
        ):
            if pod.spec.get(key) != value:
                yield f"{pod.name}: {key} is {pod.spec.get(key)}"
    for quota in view.all(QUOTA):
        scope = {"scopeName": "PriorityClass", "operator": "In", "values": ["system-node-critical"]}
        yield from expect(quota, {"spec.scopeSelector.matchExpressions": [scope]})
        if int(at(quota.inputs, "spec.hard.pods") or 0) < 100:
            yield "it is no quota for pods"
    if len(view.all(QUOTA)) != bool(view.all(DAEMON_SET)):
        yield f"there are {len(view.all(QUOTA))} quotas"


@rule
def the_planned_driver_is_installed_by_googles_installer_of_the_nodes_system(view: View) -> Complaints:
    for pod, pool in view.drivers:
        driver = pool.driver
        cos = driver.operating_system == "cos"
        install = pod.container("install")
        if driver.mode == "gke":
            if install or pod.spec.get("volumes"):
                yield f"{pod.name} installs beside Google"
            continue
        if [one.get("name") for one in pod.spec.get("initContainers") or []] != ["install", "verify"]:
            yield f"{pod.name} does not install, then verify"
        environment = (
            {**COS_ENVIRONMENT, "DRIVER_REQUEST": driver.request} if cos else {"NVIDIA_DRIVER_VERSION": driver.request}
        )
        if {one.get("name"): one.get("value") for one in install.get("env") or []} != environment:
            yield f"{pod.name} installs with {install.get('env')}"
        command = install.get("command") or []
        if cos != (command[:2] == ["/bin/sh", "-c"] and "cos-gpu-installer install --version=" in "".join(command[2:])):
            yield f"{pod.name} runs {command[:2]}"
        if at(install, "resources.requests.cpu") != "150m" or not at(install, "securityContext.privileged"):
            yield f"{pod.name}: the installer cannot do its work"
        paths = COS if cos else UBUNTU
        volumes = [{"name": name, "hostPath": {"path": host}} for name, (host, _) in sorted(paths.items())]
        mounts = [{"name": name, "mountPath": inside} for name, (_, inside) in sorted(paths.items())]
        if pod.spec.get("volumes") != volumes or install.get("volumeMounts") != mounts:
            yield f"{pod.name} does not see the node as Google's installer wants it"


@rule
def the_loaded_driver_is_compared_with_the_planned_one(view: View) -> Complaints:
    for pod, pool in view.drivers:
        verify = pod.container("verify")
        found = {one.get("name"): one.get("value") for one in verify.get("env") or []}
        if found.get("DRIVER_EXPECTED") != pool.driver.expected:
            yield f"{pod.name} expects {found.get('DRIVER_EXPECTED')}"
        waits = int(found.get("DRIVER_WAIT_SECONDS") or -1)
        if waits < (300 if pool.driver.mode == "gke" else 0):
            yield f"{pod.name} waits {waits} s for it"
        command = verify.get("command") or []
        if command[:2] != ["/bin/sh", "-c"] or "/proc/driver/nvidia/version" not in "".join(command[2:]):
            yield f"{pod.name} verifies nothing"


@rule
def installers_are_taken_from_the_node_where_google_preloads_them(view: View) -> Complaints:
    for pod, pool in view.drivers:
        for container in pod.spec.get("initContainers") or []:
            if container.get("imagePullPolicy") != "Never" or container.get("image") != pool.driver.image:
                yield f"{pod.name}/{container.get('name')} is {container.get('image')}"
        pause = pod.spec.get("containers") or [{}]
        if len(pause) != 1 or pause[0].get("image") != pool.driver.pause_image or pause[0].get("name") != "pause":
            yield f"{pod.name} stays with {pause}"


@rule
def no_driver_pod_takes_a_gpu(view: View) -> Complaints:
    for pod, _ in view.drivers:
        if GPU in str([one.get("resources") for one in pod.containers]):
            yield pod.name
