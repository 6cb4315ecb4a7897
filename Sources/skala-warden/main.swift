import Glibc
import Warden

// One program, four faces: the resident warden, its helpers, the OCI runtime when it is called (by a link) skala-runtime,
// and process 1 of a VM.
if GuestCommand.isGuest { exit(GuestCommand.run()) }
if CommandLine.arguments.dropFirst().first == HelperCommand.name { exit(HelperCommand.run(CommandLine.arguments)) }
let isRuntime = CommandLine.arguments.first?.hasSuffix("skala-runtime") ?? false
exit(isRuntime ? RuntimeCommand.run(CommandLine.arguments) : WardenCommand.run(CommandLine.arguments))
