import Base
import Kernel
import Lab

/// The commands that look at runs.
enum LabResultCommands {
    static let show = Command(
        "show", "Show what a run found as tables", "[OPTIONS] [RUN]", 0...1, options: [LabCommands.home],
        examples: ["skala lab show", "skala lab show 20261126-094512"]
    ) { call in
        let run = try LabCommands.run(call.arguments.positional.first, call)
        try call.output.write(LabSummary.text(try RunResults(run)))
        return 0
    }
}
