import Glibc
import Warden

// One program, two faces: the resident warden, and the OCI runtime when it is called (by a link) skala-runtime.
let isRuntime = CommandLine.arguments.first?.hasSuffix("skala-runtime") ?? false
exit(isRuntime ? RuntimeCommand.run(CommandLine.arguments) : WardenCommand.run(CommandLine.arguments))
