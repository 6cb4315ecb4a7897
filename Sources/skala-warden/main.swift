import Glibc
import Warden

// One program, three faces: the resident warden, the OCI runtime when it is called (by a link) skala-runtime, and
// process 1 of a VM.
if GuestCommand.isGuest { exit(GuestCommand.run()) }
let isRuntime = CommandLine.arguments.first?.hasSuffix("skala-runtime") ?? false
exit(isRuntime ? RuntimeCommand.run(CommandLine.arguments) : WardenCommand.run(CommandLine.arguments))
