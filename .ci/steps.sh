# shellcheck shell=bash
# Functions of .ci/run and .ci/long: counted checks, system packages, and the sum of jest's results. Sourced in the root of the project.
export CI=true
mkdir -p coverage
passed=0 failed=0
results=()
step() { printf '\n=== %s\n' "$*"; }
check() { # check NAME COMMAND…: runs and counts a check; exit code 77 means skipped, and the command has printed why
  step "$1"
  "${@:2}"
  count "$1" $?
}
count() { # count NAME STATUS
  case $2 in
    0) passed=$((passed + 1)) ;;
    77) ;;
    *) failed=$((failed + 1)); echo "FAILED: $1" ;;
  esac
}
names=() processes=()
background() { # background NAME COMMAND…: starts an independent check in the background; `finish_background` prints and counts it
  local out="coverage/background-${#names[@]}.log"
  "${@:2}" >"$out" 2>&1 &
  processes+=($!)
  names+=("$1")
}
finish_background() { # waits for the background checks
  local i
  for i in "${!names[@]}"; do
    wait "${processes[$i]}"
    local status=$?
    step "${names[$i]}"
    cat "coverage/background-$i.log"
    count "${names[$i]}" $status
  done
  names=() processes=()
}

install_packages() {
  step 'packages'
  want=()
  need() { PATH=$PATH:/usr/sbin command -v "$1" >/dev/null || want+=("${@:2}"); } # need PROGRAM PACKAGE…
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql postgresql-contrib
  need redis-server redis-server
  need chromium chromium
  need promtool prometheus
  need nginx nginx
  need syslog-ng syslog-ng-core syslog-ng-mod-http
  need pgbouncer pgbouncer
  need prometheus-node-exporter prometheus-node-exporter
  need prometheus-blackbox-exporter prometheus-blackbox-exporter
  need prometheus-postgres-exporter prometheus-postgres-exporter
  need prometheus-alertmanager prometheus-alertmanager
  need docker-registry docker-registry
  need testssl testssl.sh
  need certbot certbot
  need dockerd docker.io
  need docker-compose docker-compose
  need pip3 python3-pip
  need shellcheck shellcheck
  need faketime faketime
  need curl curl
  if [ ${#want[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
      apt-get update -qq
      # Keeps the packages from starting their servers: the tests start their own.
      [ -e /usr/sbin/policy-rc.d ] || { printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d && quiet=1; }
      install() { DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >coverage/apt.log 2>&1; }
      # If one package cannot be installed, install the others one by one.
      install "${want[@]}" || for one in "${want[@]}"; do install "$one" || { tail -2 coverage/apt.log; echo "skipped: tests that need $one"; }; done
      [ -z "${quiet:-}" ] || rm /usr/sbin/policy-rc.d
    else
      echo "skipped: tests that need ${want[*]} (not root, or no apt-get)"
    fi
  fi
}

install_nginx() { tests/operations/nginx/install-nginx.sh || echo 'skipped: tests that need nginx-mainline (1.27.4 or newer, from a package of PyPI)'; }

counts() { # counts OUT: prints the numbers of passed, failed and skipped tests
  node -p 'const r = require("./'"$1"'"); [r.numPassedTests, r.numFailedTests + r.numRuntimeErrorTestSuites, r.numPendingTests].join(" ")'
}
run_tests() { # run_tests NAME COMMAND…: adds jest's counts to the total. Names failed files and retries them once, one at a time, because the machine is shared.
  local out="coverage/jest-$1.json" again="coverage/jest-$1-again.json" p f s files
  step "tests: $1"
  rm -f "$out" "$again"
  "${@:2}" --json --outputFile="$out"
  [ -f "$out" ] || { echo "no result of the tests: $1"; failed=$((failed + 1)); return; }
  results+=("$1")
  read -r p f s < <(counts "$out")
  [ "$s" = 0 ] || node -p 'require("./'"$out"'").testResults.flatMap((t) => t.assertionResults).filter((a) => a.status === "pending").map((a) => "skipped: " + a.fullName).join("\n")'
  if [ "$f" != 0 ]; then
    mapfile -t files < <(node -p 'require("./'"$out"'").testResults.filter((t) => t.status === "failed").map((t) => t.name).join("\n")')
    step "retry, one at a time: $1: ${files[*]##*/tests/}"
    "${@:2}" --json --outputFile="$again" --runInBand --runTestsByPath "${files[@]}"
    local bad=$f
    [ -f "$again" ] && read -r _ bad _ < <(counts "$again")
    p=$((p + f - bad)) f=$bad
    echo "$1: $bad of the failed tests failed again"
  fi
  passed=$((passed + p)) failed=$((failed + f))
}
begins_by() { # begins_by MINUTES NAME: whether there is still time to start it; on a slow machine it is skipped, with a message
  [ $((SECONDS / 60)) -lt "$1" ] || { echo "skipped: $2 (it would have started after $((SECONDS / 60)) minutes)"; return 1; }
}

finish() { # prints the ten slowest files, the total time, and the closing line
  step 'slowest files'
  node -e '
    const files = process.argv.slice(1).flatMap((name) =>
      require(`./coverage/jest-${name}.json`).testResults.map((t) => ({ s: (t.endTime - t.startTime) / 1000, at: `${name}: ${t.name.replace(/^.*\/tests\//, "tests/")}` })));
    files.sort((a, b) => b.s - a.s);
    for (const { s, at } of files.slice(0, 10)) console.log(`${s.toFixed(1).padStart(7)} s  ${at}`);
    console.log(`${files.reduce((sum, { s }) => sum + s, 0).toFixed(0).padStart(7)} s  all ${files.length} files together`);
  ' "${results[@]}"
  printf '\n%d minutes\n\n%d passed, %d failed\n' $((SECONDS / 60)) "$passed" "$failed"
  [ "$failed" = 0 ]
}
