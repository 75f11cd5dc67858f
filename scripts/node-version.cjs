// Runs before the build on any version of Node, so it uses old syntax only.
var wanted = [20, 19];
var found = process.versions.node.split('.').map(Number);
if (found[0] < wanted[0] || (found[0] === wanted[0] && found[1] < wanted[1])) {
  console.error(
    'Agent Memory needs Node ' +
      wanted.join('.') +
      ' or newer; this is ' +
      process.version +
      '. Install a newer Node and run the command again.',
  );
  process.exit(1);
}
