"""The recipes of the control plane: one version, said in one place."""

import tools


def test_the_programs_of_kubernetes_are_one_version_from_one_module() -> None:
    pins = tools.pins()
    server = pins["kube-apiserver"]
    assert server.go
    for name in ("kube-scheduler", "kube-controller-manager"):
        recipe = pins[name].go
        assert recipe
        assert pins[name].version == server.version
        assert (recipe.module, recipe.module_version, recipe.replace) == (
            server.go.module,
            server.go.module_version,
            server.go.replace,
        )
        assert recipe.package.endswith(f"/cmd/{name}")


def test_the_modules_of_kubernetes_own_repository_have_its_version() -> None:
    server = tools.pins()["kube-apiserver"]
    assert server.go
    version = f"v0.{server.version.split('.', 1)[1]}"
    assert set(server.go.replace.values()) == {f"{module} {version}" for module in server.go.replace}
