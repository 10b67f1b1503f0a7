#!/usr/bin/env python3
"""What lb-setup works out, on machines that are directories."""

import os
import subprocess
import tempfile
import unittest

SETUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../files/usr/sbin/lb-setup")


def arguments(siblings, memory_kib=8 << 20, **overrides):
    """The kernel arguments for a machine whose CPUs are these siblings of each other, as a dictionary."""
    with tempfile.TemporaryDirectory() as machine:
        cpus = f"{machine}/sys/devices/system/cpu"
        for cpu, of in enumerate(siblings):
            os.makedirs(f"{cpus}/cpu{cpu}/topology")
            if of is not None:
                write(f"{cpus}/cpu{cpu}/topology/thread_siblings_list", of)
        write(f"{cpus}/present", f"0-{len(siblings) - 1}" if len(siblings) > 1 else "0")
        os.makedirs(f"{machine}/proc")
        write(f"{machine}/proc/meminfo", f"MemTotal:       {memory_kib} kB\nMemFree: 1 kB\n")
        write(f"{machine}/appliance.conf", "".join(f"{name}={value}\n" for name, value in overrides.items()))
        printed = subprocess.run(
            ["sh", SETUP, "args"], capture_output=True, text=True, check=True,
            env={"PATH": os.environ["PATH"], "LB_SETUP_SYS": f"{machine}/sys", "LB_SETUP_PROC": f"{machine}/proc",
                 "LB_SETUP_STATE": machine})
        return dict(argument.split("=", 1) for argument in printed.stdout.split())


def write(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(f"{text}\n")


class KernelArguments(unittest.TestCase):
    def isolates(self, found, workers, system):
        self.assertEqual(found["isolcpus"], f"managed_irq,domain,{workers}")
        self.assertEqual((found["nohz_full"], found["rcu_nocbs"], found["irqaffinity"]), (workers, workers, system))

    def test_the_first_core_is_the_systems(self):
        self.isolates(arguments(["0", "1", "2", "3"]), "1,2,3", "0")

    def test_siblings_of_workers_idle_and_those_of_cpu_0_serve_the_system(self):
        self.isolates(arguments(["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"]), "1,2,3,5,6,7", "0,4")

    def test_siblings_may_be_neighbours(self):
        self.isolates(arguments(["0-1", "0-1", "2-3", "2-3"]), "2,3", "0,1")

    def test_a_machine_that_does_not_tell_siblings_has_none(self):
        self.isolates(arguments([None, None, None]), "1,2", "0")

    def test_a_number_of_workers_can_be_asked_for(self):
        self.isolates(arguments(["0,4", "1,5", "2,6", "3,7", "0,4", "1,5", "2,6", "3,7"], WORKERS=1), "1,5", "0,2,3,4,6,7")
        self.isolates(arguments(["0", "1", "2"], WORKERS=9), "1,2", "0")

    def test_nothing_is_isolated_on_one_cpu(self):
        self.assertEqual(list(arguments(["0"])), ["hugepages"])
        self.assertEqual(list(arguments(["0-1", "0-1"])), ["hugepages"])

    def test_huge_pages_are_a_quarter_of_memory_up_to_2_gib(self):
        for memory_gib, pages in ((1, 128), (4, 512), (8, 1024), (256, 1024)):
            self.assertEqual(arguments(["0", "1"], memory_gib << 20)["hugepages"], str(pages))

    def test_a_number_of_huge_pages_can_be_asked_for(self):
        self.assertEqual(arguments(["0", "1"], HUGEPAGES=77)["hugepages"], "77")


if __name__ == "__main__":
    unittest.main()
