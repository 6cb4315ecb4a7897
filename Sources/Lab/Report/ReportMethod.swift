import Base

/// How the figures came about, for those who read them.
enum ReportMethod {
    static let paragraphs = [
        "Each trial has fresh instances. The conditions of a case are measured in turn, in a new random order each round, so that what "
            + "disturbs the host for a while disturbs all of them alike.",
        "Told is the median, with the interval in which the median of the same run again lies with 95 %: by order statistics, without an "
            + "assumption about the distribution; for fewer than eight values by Student's t. Error bars are these intervals; small dots "
            + "are single trials.",
        "Ratios are means of differences of logarithms within rounds, with a paired t test; with fewer than six rounds the scatter is "
            + "that of all conditions of the case. A difference counts as proved when Holm's procedure for all comparisons of the "
            + "experiment lets it pass at 5 %, and it is at least 2 %. Ratios that are not proved stand in brackets.",
        "A trial that did not end by its deadline is a result, and is shown as such; after two a condition is not tried again.",
    ]

    static let noise =
        "Busy: the share of processor time other programs used in a second before; stolen: what a hypervisor gave to others; fixed work: "
        + "the median time of the same piece of arithmetic; its scatter: the 90th percentile in relation to that. A host is called not "
        + "quiet above 5 %, 1 % and ×1.2."
}
