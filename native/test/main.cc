// Runs the addon's parts without Node, for the sanitizers. Ends with 0 when all is well.
#include "check.h"

int main() {
  shoal::test::TestArena();
  shoal::test::TestChecksums();
  shoal::test::TestEngines();
  std::puts("all is well");
  return 0;
}
