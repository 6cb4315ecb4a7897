import TestSupport
import Testing

struct SimulationTests {
    /// `SKALA_SEEDS=N` for many more, `SKALA_SEED=N` for one of them again, with the way to its failure.
    @Test(arguments: Seeds.first(12))
    func aClusterSurvivesAStorm(seed: UInt64) {
        var simulation = Simulation(seed: seed)
        let failure = simulation.run(stormSeconds: 90, calmSeconds: 200)
        #expect(failure == nil, "SKALA_SEED=\(seed) replays it")
        #expect(simulation.taskCount > 0)
    }

    @Test func aSeedIsAStory() {
        var (first, second) = (Simulation(seed: 4), Simulation(seed: 4))
        _ = first.run(stormSeconds: 60, calmSeconds: 10)
        _ = second.run(stormSeconds: 60, calmSeconds: 10)
        #expect(first.trace == second.trace && !first.trace.isEmpty)
    }
}
