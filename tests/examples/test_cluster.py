"""The files for clusters, each checked by its own parser, and their commands by ours."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from sfumato.batch.workers import Workers
from sfumato.cli import main

yaml = pytest.importorskip("yaml", reason="PyYAML reads the files of Kubernetes and Ray; it comes with ray")
FOLDER = Path(__file__).parents[2] / "examples" / "cluster"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.slurm")), ids=lambda path: path.name)
def test_slurm_scripts_are_shell_with_options_at_the_top(path):
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    subprocess.run([bash, "-n", str(path)], check=True)
    lines = path.read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    first = next(i for i, line in enumerate(lines) if line and not line.startswith("#"))
    options = [line for line in lines if line.startswith("#SBATCH")]
    assert options == [line for line in lines[:first] if line.startswith("#SBATCH")], "sbatch reads options before the first command only"
    assert all(re.fullmatch(r"#SBATCH --[a-z-]+(=\S+)?", line) for line in options)


def test_an_array_of_slurm_covers_all_parts(tmp_path):
    """The script, dry: with a program in the place of sfumato that prints its arguments."""
    program = tmp_path / "sfumato"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    script = FOLDER / "restore.slurm"
    (array,) = re.findall(r"--array=1-(\d+)", script.read_text())
    seen = set()
    for i in range(1, int(array) + 1):
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": "/home/me", "SLURM_CPUS_PER_TASK": "16"}
        environment |= {"SLURM_ARRAY_TASK_ID": str(i), "SLURM_ARRAY_TASK_COUNT": array}
        ran = subprocess.run(["bash", str(script)], env=environment, capture_output=True, text=True, check=True)
        words = ran.stdout.split()
        assert words[:2] == ["restore", "/home/me/photos"]
        seen.add(Workers(jobs=int(words[words.index("--jobs") + 1]), shard=words[words.index("--shard") + 1]).part)
    assert seen == {(i, int(array)) for i in range(1, int(array) + 1)}


def test_a_job_of_kubernetes_has_a_part_for_each_index():
    job = yaml.safe_load((FOLDER / "restore.yaml").read_text())
    spec = job["spec"]
    assert (job["apiVersion"], job["kind"], spec["completionMode"]) == ("batch/v1", "Job", "Indexed")
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["restartPolicy"] in ("OnFailure", "Never")
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
    seen = set()
    for index in range(spec["completions"]):
        command = container["args"][0].replace("exec sfumato", "echo")
        ran = subprocess.run([*container["command"], command], env={"JOB_COMPLETION_INDEX": str(index)}, capture_output=True, check=True)
        words = ran.stdout.decode().split()
        assert int(words[words.index("--jobs") + 1]) <= int(container["resources"]["limits"]["cpu"])
        seen.add(Workers(shard=words[words.index("--shard") + 1]).part)
    assert seen == {(i + 1, spec["completions"]) for i in range(spec["completions"])}


def test_the_cluster_of_ray_has_the_keys_that_ray_asks_for():
    cluster = yaml.safe_load((FOLDER / "ray.yaml").read_text())
    assert {"cluster_name", "provider", "auth"} <= cluster.keys()
    assert cluster["min_workers"] == cluster["max_workers"] == len(cluster["provider"]["worker_ips"])
    assert any("--head" in command for command in cluster["head_start_ray_commands"])
    validate = pytest.importorskip("ray.autoscaler._private.util", reason="ray is not installed")
    validate.validate_config(validate.prepare_config(cluster))


@pytest.mark.parametrize("path", sorted(FOLDER.iterdir()), ids=lambda path: path.name)
def test_commands_in_the_files_have_only_options_that_there_are(path, capsys):
    text = path.read_text().replace("\\\n", " ")
    flags = set(re.findall(r" (--[a-z]+)", " ".join(re.findall(r"sfumato restore [^\n]*(?:\n +--[^\n]*)?", text))))
    with pytest.raises(SystemExit):
        main(["restore", "--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert flags <= known
