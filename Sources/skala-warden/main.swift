import Base
import Glibc
import Kernel
import Warden

exit(WardenCommand.run(CommandLine.arguments))
