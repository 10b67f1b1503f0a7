# Completion of lbctl in fish: asks `lbctl __complete`, which knows the running director's names.

function __lbctl_complete
    set -l program lbctl
    command -q lbctl; or set program (commandline -opc)[1]
    for line in ($program __complete (commandline -cp | string collect) 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path (commandline -ct)
        else
            echo $line
        end
    end
end

complete -c lbctl -f -k -a '(__lbctl_complete)'
