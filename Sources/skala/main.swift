import Glibc
import SkalaCLI

exit(Program.main(Array(CommandLine.arguments.dropFirst())))
