#!/usr/bin/env bash
# pin-images.sh [FILE]…: adds the current digest to the tag of every image in docker-compose.prod.yml and Dockerfile, so that a moved tag has no
# effect. Run it again to update the digests; `--unpin` removes them. Needs docker and a registry.
set -euo pipefail
cd "$(dirname "$0")/.."
unpin=''
if [ "${1:-}" = --unpin ]; then unpin=1 && shift; fi
files=("$@")
[ $# -gt 0 ] || files=(docker-compose.prod.yml Dockerfile)
place='^( +image: |FROM )'
name='([^ @$]+:[^ @$]+)'
digest='(@sha256:[0-9a-f]{64})?'

if [ -n "$unpin" ]; then sed -Ei "s#$place$name$digest#\1\2#" "${files[@]}" && exit; fi
mapfile -t images < <(sed -nE "s#$place$name$digest.*#\2#p" "${files[@]}" | sort -u)
# Resolve all images before changing a file.
declare -A pinned
for image in "${images[@]}"; do
  docker pull --quiet "$image" >/dev/null || { echo "error: $image cannot be pulled; nothing was changed" >&2; exit 1; }
  found=$(docker image inspect --format '{{range .RepoDigests}}{{println .}}{{end}}' "$image" | grep -F "${image%:*}@" | head -n 1 || true)
  [ -n "$found" ] || { echo "error: $image has no digest, because it was built or loaded locally; nothing was changed" >&2; exit 1; }
  pinned[$image]=$image@${found#*@}
done
for image in "${images[@]}"; do
  sed -Ei "s#$place${image//./\\.}$digest( |\$)#\1${pinned[$image]}\3#" "${files[@]}"
  echo "${pinned[$image]}"
done
