import Kernel

/// How far a run is, and how long the rest will take.
struct Pace {
    private struct Entry {
        let experiment: String
        let name: String
        let expected: Int64
        /// Trials that are left at least.
        var left: Int
        var done = 0
        var spent: Int64 = 0
    }

    private var entries: [Entry] = []

    mutating func add(_ step: RunPlan.Step, _ rounds: Experiment.Rounds) {
        for item in step.cases {
            entries.append(
                Entry(
                    experiment: step.experiment.name, name: item.name, expected: item.expected,
                    left: item.conditions.count * (rounds.least + rounds.warmUp)))
        }
    }

    private func index(_ experiment: String, _ name: String) -> Int? {
        entries.firstIndex { $0.experiment == experiment && $0.name == name }
    }

    /// A trial took so many nanoseconds.
    mutating func take(_ experiment: String, _ name: String, _ elapsed: Int64) {
        guard let index = index(experiment, name) else { return }
        entries[index].done += 1
        entries[index].spent += elapsed
        entries[index].left = max(0, entries[index].left - 1)
    }

    /// Nothing more comes of a case.
    mutating func end(_ experiment: String, _ name: String) {
        if let index = index(experiment, name) { entries[index].left = 0 }
    }

    func progress(_ text: String) -> LabRun.Progress {
        let done = entries.reduce(0) { $0 + $1.done }
        let rest = entries.reduce(0) { $0 + $1.left }
        let left = entries.reduce(Int64(0)) { sum, entry in
            sum + Int64(entry.left) * (entry.done > 0 ? entry.spent / Int64(entry.done) : entry.expected)
        }
        return LabRun.Progress(text: text, done: done, expected: done + rest, left: left)
    }
}
