#!/usr/bin/env python3
"""What lb-slot makes of a system on trial, on machines that are directories: systemctl and lb-app are scripts there."""

import os
import subprocess
import tempfile
import unittest

SLOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../files/usr/sbin/lb-slot")
ENVIRONMENT = "# GRUB Environment Block\ngood=a\ntry={}\nleft=1\nlb_args=isolcpus=1 hugepages=64\n"


class Trial:
    """System b is running, for the first time; what `lb-slot verify` does about it."""

    def __init__(self, running=True, configured=True, ran=True, version="exit 0", trying="b", unit="b"):
        with tempfile.TemporaryDirectory() as machine:
            for folder in ("boot/grub", "proc", "run", "state", "bin"):
                os.makedirs(f"{machine}/{folder}")
            write(f"{machine}/boot/grub/grubenv", ENVIRONMENT.format(trying).ljust(1024, "#"))
            write(f"{machine}/proc/cmdline", f"root=/dev/disk/by-partlabel/lb-{unit} ro lb.slot={unit} lb.trial\n")
            if configured:
                write(f"{machine}/run/configured", "")
            if ran:
                write(f"{machine}/state/.lb-app.ran", "")
            # `running`: always, never, only until it is looked at for the second time, or anew each time.
            write(f"{machine}/bin/systemctl", f"""#!/bin/sh
                case "$*" in
                *is-active*)
                    echo >>{machine}/asked
                    case {running} in
                    True | restarting) exit 0 ;;
                    once) [ $(($(wc -l <{machine}/asked) % 2)) = 1 ] ;;
                    *) exit 3 ;;
                    esac ;;
                *NRestarts*) case {running} in restarting) wc -l <{machine}/asked ;; *) echo 0 ;; esac ;;
                reboot) touch {machine}/restarted ;;
                esac""", 0o755)
            write(f"{machine}/bin/lb-app", f"#!/bin/sh\n{version}\n", 0o755)
            done = subprocess.run(
                ["sh", SLOT, "verify"], capture_output=True, text=True, check=True,
                env={"PATH": f"{machine}/bin:{os.environ['PATH']}", "LB_SLOT_BOOT": f"{machine}/boot",
                     "LB_SLOT_PROC": f"{machine}/proc", "LB_SLOT_RUN": f"{machine}/run",
                     "LB_SLOT_STATE": f"{machine}/state", "LB_SLOT_ENOUGH_S": "0", "LB_SLOT_PATIENCE_S": "2"})
            self.said = done.stdout + done.stderr
            self.restarted = os.path.exists(f"{machine}/restarted")
            with open(f"{machine}/boot/grub/grubenv", encoding="ascii") as file:
                text = file.read()
            self.bytes = len(text)
            self.variables = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def write(path, text, mode=0o644):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
    os.chmod(path, mode)


class OnTrial(unittest.TestCase):
    def stays(self, trial):
        self.assertEqual((trial.variables["good"], trial.variables["try"], trial.restarted), ("b", "", False), trial.said)
        self.sound(trial)

    def falls_back(self, trial):
        self.assertEqual((trial.variables["good"], trial.variables["try"], trial.restarted), ("a", "", True), trial.said)
        self.assertIn("lb-app does not run on system b; restarting into system a", trial.said)
        self.sound(trial)

    def sound(self, trial):
        self.assertEqual(trial.bytes, 1024)
        self.assertEqual(trial.variables["left"], "0")
        self.assertEqual(trial.variables["lb_args"], "isolcpus=1 hugepages=64")

    def test_it_stays_if_lb_app_runs(self):
        self.stays(Trial())
        self.stays(Trial(ran=False))

    def test_it_goes_if_lb_app_does_not_run(self):
        self.falls_back(Trial(running=False))
        self.falls_back(Trial(running=False, ran=False))

    def test_it_goes_if_lb_app_runs_for_a_moment_only(self):
        self.falls_back(Trial(running="once"))
        self.falls_back(Trial(running="restarting"))

    def test_it_goes_if_it_has_nothing_for_lb_app_to_do_where_there_was(self):
        self.falls_back(Trial(running=False, configured=False))
        self.falls_back(Trial(running=False, configured=False, version="exit 1"))

    def test_it_stays_if_there_is_nothing_to_do_yet(self):
        self.stays(Trial(running=False, configured=False, ran=False))

    def test_but_not_if_lb_app_could_not_do_it(self):
        self.falls_back(Trial(running=False, configured=False, ran=False, version="exit 127"))

    def test_a_system_that_is_not_on_trial_is_left_alone(self):
        trial = Trial(running=False, trying="")
        self.assertEqual((trial.restarted, trial.variables["good"], trial.variables["left"]), (False, "a", "1"))
        trial = Trial(running=False, unit="a")
        self.assertEqual((trial.restarted, trial.variables["try"]), (False, "b"))


if __name__ == "__main__":
    unittest.main()
